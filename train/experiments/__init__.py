"""What was tried once and is kept as it ran: the stages of the shipped model, each a command of its own."""
