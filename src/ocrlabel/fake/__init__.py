"""A server on 127.0.0.1 that answers, bills, throttles and fails like the Upstage OCR endpoint.

What it copies is what is known (recorded answers, the public reference). What is not known and had
to be chosen is marked "(assumption)" where it is chosen and in `ocrlabel fake-upstage --help`.
"""
