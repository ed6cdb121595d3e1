"""From text to a Net's source: what is done to code before the contract sees it."""
