"""The bytes of an image: what they are, whether they are all there, their upright pages.

    identify   the format, by the first bytes
    limits     how big an image may be, and what an engine takes
    headers    pages, sizes and orientation from the headers; whether the file is cut off
    prepare    a Document for an engine that takes files, RGB pages for an engine of our own
    pillow     pixels of image formats
    pdf        pixels of PDF documents

Synchronous: it runs in child processes. Whatever the bytes are, Unreadable is raised and nothing
else. Only values go in and out, so that dataset/ and engines/ both use it and not each other.
"""
