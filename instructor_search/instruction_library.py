"""Named instructions, one pair a use: what the query is for, what the document is for.

All follow the paper's template. Symmetric uses (finding alike texts) have the same instruction on both sides.
"""

from __future__ import annotations

from typing import NamedTuple

from instructor_search.instructions import DEFAULT_DOCUMENT_INSTRUCTION, DEFAULT_QUERY_INSTRUCTION


class NamedInstructions(NamedTuple):
    """The two instructions of a use; ``symmetric`` where query and document are texts of one kind."""

    name: str
    use: str
    query: str
    document: str

    @property
    def symmetric(self) -> bool:
        """Whether both sides have the same instruction."""
        return self.query == self.document


def _asymmetric(name: str, use: str, query: str, document: str) -> NamedInstructions:
    return NamedInstructions(name, use, f"Represent the {query}: ", f"Represent the {document}: ")


def _symmetric(name: str, use: str, both: str) -> NamedInstructions:
    return _asymmetric(name, use, both, both)


LIBRARY: tuple[NamedInstructions, ...] = (
    NamedInstructions("default", "any question over any documents", DEFAULT_QUERY_INSTRUCTION, DEFAULT_DOCUMENT_INSTRUCTION),
    _asymmetric("questions", "questions answered by encyclopedia passages", "Wikipedia question for retrieving supporting documents", "Wikipedia document for retrieval"),
    _symmetric("duplicate-questions", "questions asked before", "question for retrieving duplicate questions"),
    _asymmetric("facts", "claims checked against evidence", "claim for retrieving supporting evidence", "evidence document for retrieval"),
    _asymmetric("arguments", "arguments and their counterarguments", "debate argument for retrieving counterarguments", "debate argument for retrieval"),
    _asymmetric("entities", "entities by what is said of them", "entity description for retrieving the entity page", "Wikipedia entity page for retrieval"),
    _asymmetric("definitions", "words by their meaning", "definition for retrieving the word it defines", "dictionary entry for retrieval"),
    _asymmetric("news", "news by event", "news query for retrieving reports of the event", "news article for retrieval"),
    _symmetric("news-topic", "news by topic", "news article for clustering by topic"),
    _symmetric("headlines", "headlines about the same event", "news headline for retrieving headlines of the same event"),
    _asymmetric("papers", "papers that answer a research question", "science question for retrieving supporting papers", "science paper for retrieval"),
    _symmetric("papers-by-topic", "papers on the same subject", "research paper for retrieving papers on the same topic"),
    _symmetric("papers-by-method", "papers with the same method", "research paper for retrieving papers with the same method"),
    _asymmetric("citations", "papers to cite", "science title for retrieving papers to cite", "science abstract for retrieval"),
    _asymmetric("code", "code by what it does", "programming question for retrieving code that solves it", "source code for retrieval"),
    _symmetric("code-clones", "code that does the same", "code snippet for retrieving code with the same function"),
    _asymmetric("error-messages", "errors and their cause", "error message for retrieving its cause and fix", "technical document for retrieval"),
    _asymmetric("api-docs", "documentation of a library", "programming question for retrieving API documentation", "API documentation for retrieval"),
    _asymmetric("shell-commands", "commands by what they do", "task description for retrieving the shell command", "shell command for retrieval"),
    _asymmetric("sql", "queries by the question they answer", "question for retrieving SQL queries that answer it", "SQL query for retrieval"),
    _symmetric("bugs-by-component", "bug reports of the same component", "bug report for retrieving reports of the same component"),
    _symmetric("bugs-by-severity", "bug reports of the same severity", "bug report for retrieving reports of the same severity"),
    _symmetric("duplicate-bugs", "bugs reported before", "bug report for retrieving duplicate reports"),
    _asymmetric("commits", "changes by their purpose", "change request for retrieving commits that made it", "commit message for retrieval"),
    _asymmetric("legal", "law that applies to a question", "legal question for retrieving applicable provisions", "legal document for retrieval"),
    _asymmetric("contracts", "clauses by what they regulate", "legal question for retrieving contract clauses", "contract clause for retrieval"),
    _symmetric("case-law", "rulings on alike facts", "court ruling for retrieving rulings on similar facts"),
    _asymmetric("policies", "rules of an organisation", "employee question for retrieving company policies", "company policy for retrieval"),
    _asymmetric("patents", "prior art", "invention description for retrieving prior art", "patent document for retrieval"),
    _asymmetric("medical", "medical questions and articles", "medical question for retrieving supporting articles", "medical article for retrieval"),
    _asymmetric("symptoms", "conditions by symptoms", "symptom description for retrieving possible conditions", "medical condition description for retrieval"),
    _asymmetric("clinical-trials", "trials for a patient", "patient description for retrieving suitable clinical trials", "clinical trial description for retrieval"),
    _asymmetric("drugs", "medicines and their effects", "medical question for retrieving drug information", "drug information document for retrieval"),
    _asymmetric("finance", "reports and filings", "financial question for retrieving supporting statements", "financial statement for retrieval"),
    _symmetric("reviews-by-sentiment", "reviews of the same sentiment", "customer review for classifying its sentiment as positive or negative"),
    _symmetric("reviews-by-product", "reviews of the same product", "customer review for classifying the product it is about"),
    _asymmetric("reviews-by-aspect", "reviews on an aspect", "aspect of a product for retrieving reviews that discuss it", "customer review for retrieval"),
    _asymmetric("products", "products for a need", "shopping query for retrieving matching products", "product description for retrieval"),
    _asymmetric("support", "help articles for a ticket", "support ticket for retrieving help articles that solve it", "help article for retrieval"),
    _symmetric("support-tickets", "tickets with the same problem", "support ticket for retrieving tickets with the same problem"),
    _symmetric("tickets-by-urgency", "tickets of the same urgency", "support ticket for classifying its urgency"),
    _symmetric("intents", "what a user wants", "user utterance for classifying its intent"),
    _symmetric("emotions", "texts of the same emotion", "text for classifying its emotion"),
    _symmetric("toxicity", "offensive comments", "comment for classifying it as toxic or harmless"),
    _symmetric("paraphrases", "sentences that mean the same", "sentence for retrieving paraphrases"),
    _symmetric("similarity", "sentences of alike meaning", "statement for measuring semantic similarity"),
    _asymmetric("emails", "messages on a matter", "question for retrieving emails on the matter", "email message for retrieval"),
    _asymmetric("meetings", "decisions in minutes", "question for retrieving decisions and action items", "meeting minutes for retrieval"),
    _asymmetric("recipes", "dishes from ingredients or wishes", "cooking query for retrieving recipes", "recipe for retrieval"),
    _asymmetric("jobs", "positions for a profile", "applicant profile for retrieving matching job postings", "job posting for retrieval"),
    _asymmetric("travel", "places for a wish", "travel question for retrieving places to visit", "travel guide passage for retrieval"),
    _asymmetric("education", "lessons for a question", "student question for retrieving course material", "course material for retrieval"),
    _asymmetric("history", "historical sources", "history question for retrieving supporting sources", "historical document for retrieval"),
    _symmetric("genres", "texts of the same genre", "text for classifying its genre"),
    _symmetric("prompt-examples", "examples for in-context learning", "example for retrieving examples of the same task"),
)  # fmt: skip


def find_pair(name: str) -> NamedInstructions:
    """Return the pair called ``name``.

    Raises:
        ValueError: there is none; the nearest names are in the message.
    """
    for pair in LIBRARY:
        if pair.name == name:
            return pair
    from difflib import get_close_matches

    near = get_close_matches(name, [p.name for p in LIBRARY], n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise ValueError(f"no instruction is called {name!r}; {hint}list them: python -m instructor_search instructions")


def find_instruction(name: str, side: str = "query") -> str:
    """Return one side of a pair: "legal" (``side`` decides), "legal/query" or "legal/document".

    Raises:
        ValueError: unknown name or side.
    """
    base, _, given = name.partition("/")
    pair = find_pair(base)
    side = given or side
    if side not in ("query", "document"):
        raise ValueError(f"instruction {name!r} asks for side {side!r}; expected 'query' or 'document'")
    return pair.query if side == "query" else pair.document


def query_instruction_for(document_instruction: str) -> str:
    """Return the query side of the pair whose document side this is; the default for other sentences, "" for none."""
    if not document_instruction.strip():
        return ""
    for pair in LIBRARY:
        if pair.document.strip() == document_instruction.strip():
            return pair.query
    return DEFAULT_QUERY_INSTRUCTION
