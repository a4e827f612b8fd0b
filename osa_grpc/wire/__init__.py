"""Protobuf ↔ domain: codecs, field paths, errors, tokens. The only package that imports the generated code."""
