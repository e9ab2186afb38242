"""Documents and vectors at rest: one LanceDB table of chunks a collection, one vector column a view."""
