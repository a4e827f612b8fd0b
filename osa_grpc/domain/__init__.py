"""What the words mean: values, unions, state machines and errors. No I/O."""
