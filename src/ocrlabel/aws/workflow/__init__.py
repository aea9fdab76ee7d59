"""The steps of the GitHub workflows: inputs checked, summaries written, nothing left to bash."""
