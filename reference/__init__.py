"""Writes docs/contract: what each part of the contract is, from its descriptors and comments, with an example of each message."""
