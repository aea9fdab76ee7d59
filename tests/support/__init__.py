"""Parts that tests of several packages share: real servers, and faults as small types."""
