"""What embeddings are asked for, each purpose in several words: for ``train.medi.wordings``.

They were written with the paper's nine task categories in mind, by somebody who knew some of the instructions that the
evaluation sets come with (docs/lab/runs_14_to_17.md says how many are among them).
"""

from __future__ import annotations

from typing import NamedTuple


class Purpose(NamedTuple):
    """``texts``: a key of ``TEXTS``. ``kinds`` and ``goals``: words that may stand for one another."""

    texts: str
    kinds: tuple[str, ...]
    goals: tuple[str, ...]
    is_open: bool  # an embedding is to hold all that the text says, as it does without an instruction


# Which texts: those of a task whose instruction calls them so.
TEXTS = {
    "question": r"\bquestion\b",
    "tweet": r"\b(tweet|comment|message|post)\b",
    "sentence": r"\b(sentence|statement|verse)\b",
    "review": r"\b(review|tweet|film)\b",
    "headline": r"\b(headline|title)\b",
    "document": r"\b(abstract|answer|article|entry|guidance|paragraph|passage)\b",
    "plot": r"\b(film|movie)\b",
    "request": r"\b(request|message|(customer|student|user) question)\b",
    "science": r"\b(biomedical|medical|paper|science)\b",
    "command": r"\b(description|intent|task|natural language question)\b",
    "report": r"\b(advisory|bug|issue|Stack Overflow post)\b",
    "reply": r"\b(answer|comment|facts?|reply|reason)\b",
    "claim": r"\b(argument|claim)\b",
}

_TABLE = """
question | question, short question, factual question, query | classifying the kind of answer that it wants;
    predicting the expected answer category; recognizing what sort of thing would answer it; grouping questions that
    want the same sort of answer; question type classification; identifying its question category; deciding if it
    asks about a human, a location, a quantity or a definition
question | question, quiz question, query | classifying its subject; topic classification; finding questions on
    the same subject; grouping questions by subject matter; identifying the area of knowledge; sorting by theme
open question | question, user question, query, search query | retrieving a passage that answers it; finding
    documents with the answer; question answering retrieval; searching for relevant passages; looking up the
    paragraph in which the answer stands; locating supporting text
question | question, question of a user, FAQ question | retrieving duplicate questions; finding questions that
    mean the same; detecting whether two questions are duplicates; matching it with an equivalent question;
    recognizing a rephrased question; duplicate detection
open question | health question, medical question, consumer health question | retrieving an answer from a trusted
    site; finding medical articles that answer it; medical information retrieval; looking up what doctors say about
    it; matching it with a fitting answer
question | question, database question, question about data | retrieving examples with a similar query; finding
    similar questions as demonstrations; choosing in-context examples; selecting examples for semantic parsing;
    retrieving solved examples for writing the query; finding questions whose program would look alike
question | question, trivia question | retrieving similar examples for classifying its type; selecting
    demonstrations for question classification; choosing in-context examples of the same class; finding labelled
    questions like it; few-shot example selection
question | frequently asked question, question, customer question | retrieving its answer in an FAQ; finding the
    FAQ entry that answers it; matching it to an entry of a help page; FAQ retrieval; looking up the right answer
question | question, query, web search query | ranking candidate answers; reranking sentences that may answer
    it; choosing the best answer sentence; answer sentence selection; finding the sentence that answers it among
    candidates
tweet | tweet, post, social media message, short message | classifying the emotion; emotion classification;
    recognizing how the author feels; detecting the feeling it conveys; telling the mood of the writer; grouping
    messages by emotion; identifying whether it shows anger, joy, fear, love or sadness; sorting by the emotion
    behind it
tweet | tweet, post, comment | sentiment classification; classifying its polarity; telling if it is positive or
    negative; deciding whether the author is pleased; detecting the tone; predicting the attitude of the writer;
    separating favorable from unfavorable ones
tweet | tweet, post, social media post, microblog post | clustering by topic; grouping posts on the same event;
    identifying the topic; topic clustering; finding posts about the same thing; sorting posts into themes;
    discovering what is talked about
tweet | comment, post, message | detecting toxicity; deciding whether it is offensive; toxic comment
    classification; recognizing abusive language; telling hateful from harmless ones; moderation
tweet | comment, post, message | judging whether it is ironic; sarcasm detection; recognizing a joke; detecting
    irony
sentence | sentence, statement, text | semantic textual similarity; measuring how close its meaning is to
    another's; comparing meanings; scoring similarity of two sentences; judging semantic equivalence; estimating the
    degree of similarity; telling how much two sentences have in common
sentence | sentence, statement, news sentence | detecting paraphrases; paraphrase identification; deciding
    whether another sentence says the same; recognizing equivalent statements; finding a rewording of it; matching
    sentences that mean the same
sentence | sentence, statement | subjectivity classification; telling opinions from facts; deciding whether it
    is objective or subjective; recognizing personal opinion; classifying if it states a fact or a view; separating
    factual description from judgement
sentence | sentence, text | classifying its topic; topic classification; telling what it is about; recognizing
    the subject; sorting sentences by theme; assigning it to a category
sentence | sentence, review sentence, customer sentence | detecting counterfactual statements; deciding whether
    it speaks of something that did not happen; recognizing hypothetical or contrary-to-fact wishes; counterfactual
    classification; telling whether what it says was real
sentence | sentence, generated sentence, text | judging its quality against a reference; evaluating generated
    text; scoring how well it matches a human sentence; comparing it with a reference text; automatic evaluation of
    generation; measuring agreement with what a person wrote
sentence | caption, image caption, sentence | judging how well it describes the image, by reference captions;
    caption evaluation; comparing captions of one picture; scoring against captions written by people; measuring
    caption quality
sentence | translation, translated sentence, English sentence | judging the quality of the translation;
    comparing it with a reference translation; machine translation evaluation; scoring adequacy against a human
    translation; measuring how much meaning is kept
sentence | sentence, sentence pair, pair of sentences | retrieving examples for paraphrase detection; selecting
    demonstrations of paraphrases; choosing in-context examples for deciding whether two sentences mean the same;
    finding similar labelled pairs; few-shot example retrieval
sentence | sentence, text | retrieving entailed sentences; natural language inference; finding what follows from
    it; deciding whether another sentence is implied; recognizing textual entailment
review | review, movie review, opinion | sentiment classification; classifying whether it is favorable; telling
    if the reviewer liked it; predicting the rating; separating praise from criticism; recognizing a positive or
    negative verdict; judging the reviewer's opinion
review | review, product review, customer review | retrieving examples for sentiment classification; selecting
    demonstrations with the same rating; finding reviews of the same polarity; choosing in-context examples for
    rating; few-shot selection by sentiment
review | review, product review, critique | finding reviews of the same product; grouping reviews by what they
    are about; topic clustering; telling what kind of product it is about
headline | headline, title, post title | clustering by topic; grouping titles by subject; topic clustering;
    finding titles on the same subject; identifying the theme; sorting titles into sections
headline | headline, news headline, news title | grouping stories about the same event; event clustering;
    finding reports of the same story; clustering news by event; matching coverage of one incident
headline | title, question title, technical title | clustering by technology; grouping by programming language
    or tool; identifying which software it is about; sorting by tag; finding titles with the same tag
open headline | title, paper title, heading | retrieving its text; finding the document that it belongs to; looking
    up the abstract; locating the article with this title
open document | document, passage, paragraph, text | retrieval; answering questions; being found by a question that
    it answers; search; passage retrieval; matching with queries
open document | document, abstract, scientific abstract, paper | being retrieved for a query about its content;
    scientific document search; literature search; matching with research questions; supporting or refuting a claim;
    finding evidence in it
document | article, news article, news story | clustering by topic; grouping by news section; topic
    classification; telling business, politics, sport, technology and entertainment apart; identifying what the news
    is about; sorting articles by subject
document | post, forum post, newsgroup message, discussion | clustering by topic; grouping by discussion group;
    identifying the subject of the discussion; sorting posts into forums; finding posts of the same group
open document | summary, machine summary, generated summary | judging its quality; scoring it against human
    summaries; summary evaluation; comparing it with a reference summary; measuring how well it keeps the content;
    rating summaries
open document | passage, financial document, report page, filing | retrieving pages that answer a financial question;
    finding the evidence for a question; document search; answering analysts' questions; looking up figures
open document | paragraph, text, long text | matching it with a sentence that summarizes it; paragraph to sentence
    similarity; finding a one-sentence version; comparing it with a shorter text; measuring semantic similarity
    across lengths
plot | movie plot, story, film description | classifying its genre; genre classification; telling what kind of
    film it is; grouping films by genre; finding films of the same genre
plot | movie plot, film review, long review | sentiment classification; telling whether the writer liked the
    film; separating good from bad reviews; judging the verdict; classifying opinion
request | utterance, request, user message, command to an assistant | intent classification; classifying what
    the user wants; recognizing the user's goal; predicting the intent; deciding which service should handle it;
    grouping requests by purpose; telling which action is asked for
request | bank customer question, banking request, customer message | classifying the intent; intent detection
    in banking; recognizing the customer's problem; routing it to the right department; telling what the customer
    needs; sorting customer questions by issue
request | message, utterance, request | retrieving examples with the same intent; selecting demonstrations for
    intent classification; choosing few-shot examples; finding similar requests with known labels
science | sentence of a paper, scientific sentence, citation sentence, citing sentence | classifying why the
    work is cited; citation intent classification; recognizing the purpose of the citation; telling background from
    method and comparison; deciding what role the cited work plays; identifying the function of a citation
open science | scientific claim, claim, research statement | retrieving supporting abstracts; finding papers that
    confirm or refute it; fact checking against the literature; scientific claim verification; looking up evidence;
    evidence retrieval
science | abstract, paper, title | grouping by research field; classifying its discipline; topic clustering;
    finding papers of the same area; identifying the field of study
open science | query, research query, information need | literature retrieval; finding relevant abstracts; searching
    a library of papers; document retrieval; looking up articles on the subject; retrieving documents that a
    researcher needs
command | description, instruction, command description, request in English | retrieving examples for writing
    the shell command; selecting similar instructions as demonstrations; finding tasks with a similar command;
    choosing in-context examples for code generation; retrieving solved tasks like it; example retrieval for bash
    generation
command | question, request, database question | retrieving examples for writing the SQL query; selecting
    demonstrations for text-to-SQL; finding questions with a similar query; choosing in-context examples for
    semantic parsing; few-shot retrieval for program generation
command | description, programming task, intent | retrieving code; code search; finding a program that does it;
    looking up the command; locating an implementation
command | meaning representation, structured input, list of facts, slots and values | retrieving examples for
    writing a sentence from it; selecting demonstrations for data-to-text generation; finding inputs that are
    verbalized alike; choosing in-context examples for generation; example retrieval for describing it
reply | response, dialogue reply, chatbot answer, turn of a conversation | judging its quality; dialogue
    evaluation; comparing it with a reference reply; scoring how good an answer it is; rating responses against what
    a person said; deciding if it is a fitting reply
reply | sentence about a restaurant, system utterance, generated description | judging its quality against
    references; evaluation of data-to-text generation; comparing it with what a person wrote; scoring generated
    utterances; measuring how well it says the same; rating informativeness and naturalness
reply | answer, candidate answer, sentence | being ranked as an answer to a question; answer selection; judging
    whether it answers the question; reranking; matching with the question that it answers
claim | claim, argument, debate argument | classifying its topic; grouping arguments by issue; finding arguments
    on the same question; topic clustering; identifying the debate
open claim | claim, statement, argument | retrieving evidence; fact checking; finding texts that support or refute
    it; verification; looking up supporting documents; finding sources
claim | argument, claim | stance classification; telling whether it is for or against; deciding which side it
    takes; recognizing support or opposition
"""


def cells_of(table: str) -> list[list[str]]:
    """Return the cells of a table's lines; a line goes on in lines that are indented."""
    lines = table.strip().replace("\n    ", " ").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def _read(table: str) -> tuple[Purpose, ...]:
    return tuple(
        Purpose(
            texts.removeprefix("open "), tuple(kinds.split(", ")), tuple(goals.split("; ")), texts.startswith("open ")
        )
        for texts, kinds, goals in cells_of(table)
    )


PURPOSES = _read(_TABLE)
