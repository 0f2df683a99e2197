"""What tests share: oracles, builders of specifications and messages, and where things lie."""
