"""The half of the contract that runs the Net, on tiny synthetic batches and inside the sandbox."""
