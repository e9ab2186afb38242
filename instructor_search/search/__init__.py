"""Query -> hits: filters, dense and full-text search, fusion, snippets."""
