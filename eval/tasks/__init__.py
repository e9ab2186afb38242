"""The nine task categories: seven run by mteb's own classes, Billboard and prompt retrieval here."""
