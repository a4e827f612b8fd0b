"""The command line: parse, call the client, show the answer."""
