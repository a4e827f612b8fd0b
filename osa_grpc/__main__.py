"""`python -m osa_grpc` is `osa-grpc`."""

from osa_grpc.cli.main import main

main()
