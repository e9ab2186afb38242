"""Retrieve examples for in-context learning, and build a prompt of them:  python docs/examples/build_a_prompt.py"""

import tempfile

from instructor_search import build_prompt
from instructor_search.in_context.filling import create_pool
from instructor_search.records import Demonstration

REPORTS = [
    Demonstration("The export hangs at 99 percent.", "export"),
    Demonstration("Saving as PDF gives an empty file.", "export"),
    Demonstration("The login page shows a blank screen.", "login"),
    Demonstration("My password is refused after the update.", "login"),
    Demonstration("Search finds nothing with an umlaut.", "search"),
]

with tempfile.TemporaryDirectory() as store:
    pool = create_pool("reports", REPORTS, store=store, instruction="@bugs-by-component")
    asked = "I cannot sign in any more."
    examples = pool.select(asked, k=2)
    prompt = build_prompt(examples, asked, budget=200)
    print(prompt.text)
    print(f"-- {prompt.num_tokens} tokens, {len(prompt.demonstrations)} examples")
