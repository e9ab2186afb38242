"""Our instruction for each side of the 56 MTEB tasks of the INSTRUCTOR paper, by the paper's unified template.

One sentence: both sides of the task are embedded under it. Two: (query, document).
"""

from __future__ import annotations

MTEB_INSTRUCTIONS: dict[str, str | tuple[str, str]] = {
    # retrieval
    "ArguAna": ("Represent the debate argument for retrieving its best counterargument: ", "Represent the counterargument for retrieval: "),
    "ClimateFEVER": ("Represent the climate claim for retrieving evidence for or against it: ", "Represent the Wikipedia article for retrieval as evidence: "),
    "CQADupstackAndroidRetrieval": ("Represent the Android question for retrieving duplicate questions: ", "Represent the Android question for retrieval: "),
    "CQADupstackEnglishRetrieval": ("Represent the English usage question for retrieving duplicate questions: ", "Represent the English usage question for retrieval: "),
    "CQADupstackGamingRetrieval": ("Represent the video game question for retrieving duplicate questions: ", "Represent the video game question for retrieval: "),
    "CQADupstackGisRetrieval": ("Represent the geographic information systems question for retrieving duplicate questions: ", "Represent the geographic information systems question for retrieval: "),
    "CQADupstackMathematicaRetrieval": ("Represent the Mathematica question for retrieving duplicate questions: ", "Represent the Mathematica question for retrieval: "),
    "CQADupstackPhysicsRetrieval": ("Represent the physics question for retrieving duplicate questions: ", "Represent the physics question for retrieval: "),
    "CQADupstackProgrammersRetrieval": ("Represent the software engineering question for retrieving duplicate questions: ", "Represent the software engineering question for retrieval: "),
    "CQADupstackStatsRetrieval": ("Represent the statistics question for retrieving duplicate questions: ", "Represent the statistics question for retrieval: "),
    "CQADupstackTexRetrieval": ("Represent the TeX question for retrieving duplicate questions: ", "Represent the TeX question for retrieval: "),
    "CQADupstackUnixRetrieval": ("Represent the Unix question for retrieving duplicate questions: ", "Represent the Unix question for retrieval: "),
    "CQADupstackWebmastersRetrieval": ("Represent the webmaster question for retrieving duplicate questions: ", "Represent the webmaster question for retrieval: "),
    "CQADupstackWordpressRetrieval": ("Represent the WordPress question for retrieving duplicate questions: ", "Represent the WordPress question for retrieval: "),
    "DBPedia": ("Represent the entity query for retrieving entity descriptions: ", "Represent the Wikipedia entity description for retrieval: "),
    "FEVER": ("Represent the factual claim for retrieving evidence for or against it: ", "Represent the Wikipedia article for retrieval as evidence: "),
    "FiQA2018": ("Represent the financial question for retrieving answers: ", "Represent the financial answer for retrieval: "),
    "HotpotQA": ("Represent the multi-step question for retrieving supporting paragraphs: ", "Represent the Wikipedia paragraph for retrieval: "),
    "MSMARCO": ("Represent the web search query for retrieving passages that answer it: ", "Represent the web passage for retrieval: "),
    "NFCorpus": ("Represent the nutrition query for retrieving medical abstracts: ", "Represent the medical abstract for retrieval: "),
    "NQ": ("Represent the search question for retrieving Wikipedia passages that answer it: ", "Represent the Wikipedia passage for retrieval: "),
    "QuoraRetrieval": ("Represent the Quora question for retrieving duplicate questions: ", "Represent the Quora question for retrieval: "),
    "SCIDOCS": ("Represent the scientific paper title for retrieving papers that it cites: ", "Represent the scientific paper for retrieval: "),
    "SciFact": ("Represent the scientific claim for retrieving supporting or refuting abstracts: ", "Represent the scientific abstract for retrieval: "),
    "Touche2020": ("Represent the controversial question for retrieving arguments about it: ", "Represent the debate argument for retrieval: "),
    "TRECCOVID": ("Represent the COVID-19 question for retrieving research articles that answer it: ", "Represent the COVID-19 research article for retrieval: "),
    # reranking
    "AskUbuntuDupQuestions": ("Represent the Ubuntu question for ranking duplicate questions: ", "Represent the Ubuntu question for ranking it as a duplicate: "),
    "MindSmallReranking": ("Represent the news reading history for ranking articles to read next: ", "Represent the news article for ranking it as reading: "),
    "SciDocsRR": ("Represent the scientific title for ranking related papers: ", "Represent the scientific title for ranking it as related work: "),
    "StackOverflowDupQuestions": ("Represent the programming question for ranking duplicate questions: ", "Represent the programming question for ranking it as a duplicate: "),
    # clustering
    "ArxivClusteringP2P": "Represent the scientific abstract for clustering by field: ",
    "ArxivClusteringS2S": "Represent the scientific title for clustering by field: ",
    "BiorxivClusteringP2P": "Represent the biology abstract for clustering by field: ",
    "BiorxivClusteringS2S": "Represent the biology title for clustering by field: ",
    "MedrxivClusteringP2P": "Represent the medical abstract for clustering by specialty: ",
    "MedrxivClusteringS2S": "Represent the medical title for clustering by specialty: ",
    "RedditClustering": "Represent the Reddit title for clustering by community: ",
    "RedditClusteringP2P": "Represent the Reddit post for clustering by community: ",
    "StackExchangeClustering": "Represent the question title for clustering by site: ",
    "StackExchangeClusteringP2P": "Represent the question for clustering by site: ",
    "TwentyNewsgroupsClustering": "Represent the newsgroup post for clustering by discussion group: ",
    # pair classification
    "SprintDuplicateQuestions": "Represent the mobile phone support question for finding duplicate questions: ",
    "TwitterSemEval2015": "Represent the tweet for detecting paraphrases: ",
    "TwitterURLCorpus": "Represent the tweet for detecting paraphrases: ",
    # classification
    "AmazonCounterfactualClassification": "Represent the Amazon review sentence for classifying it as counterfactual or not: ",
    "AmazonPolarityClassification": "Represent the Amazon review for classifying its sentiment as positive or negative: ",
    "AmazonReviewsClassification": "Represent the Amazon review for classifying its rating from one to five stars: ",
    "Banking77Classification": "Represent the banking customer query for classifying its intent: ",
    "EmotionClassification": "Represent the tweet for classifying its emotion as sadness, joy, love, anger, fear or surprise: ",
    "ImdbClassification": "Represent the movie review for classifying its sentiment as positive or negative: ",
    "MassiveIntentClassification": "Represent the voice-assistant command for classifying its intent: ",
    "MassiveScenarioClassification": "Represent the voice-assistant command for classifying its scenario: ",
    "MTOPDomainClassification": "Represent the voice-assistant command for classifying its domain: ",
    "MTOPIntentClassification": "Represent the voice-assistant command for classifying its intent: ",
    "ToxicConversationsClassification": "Represent the online comment for classifying it as toxic or not: ",
    "TweetSentimentExtractionClassification": "Represent the tweet for classifying its sentiment as positive, neutral or negative: ",
    # semantic textual similarity
    "BIOSSES": "Represent the biomedical sentence for measuring semantic similarity: ",
    "SICK-R": "Represent the sentence for measuring semantic similarity: ",
    "STS12": "Represent the sentence for measuring semantic similarity: ",
    "STS13": "Represent the news and glossary sentence for measuring semantic similarity: ",
    "STS14": "Represent the forum, news and image-caption sentence for measuring semantic similarity: ",
    "STS15": "Represent the answer, headline and caption sentence for measuring semantic similarity: ",
    "STS16": "Represent the answer, headline and question sentence for measuring semantic similarity: ",
    "STS17": "Represent the image-caption sentence for measuring semantic similarity: ",
    "STS22": "Represent the news article for measuring semantic similarity: ",
    "STSBenchmark": "Represent the sentence for measuring semantic similarity: ",
    # summarization
    "SummEval": "Represent the news summary for comparing it with human summaries: ",
}  # fmt: skip


def sides(name: str) -> tuple[str, str]:
    """Return the (query, document) instructions of an MTEB task.

    Raises:
        KeyError: the task is none of the paper's.
    """
    given = MTEB_INSTRUCTIONS[name]
    return (given, given) if isinstance(given, str) else given
