"""A retrieval chain of LangChain under OpenInference: `python -m golden.langchain_chain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor

from golden.chains import CITY, PASSAGES, PROMPT, QUESTION, RETRIEVAL, WEATHER
from golden.marks import mark
from golden.peers.sdk import start_sdk

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun


class Library(BaseRetriever):
    """Finds the same passages whatever is asked."""

    def _get_relevant_documents(
        self,
        query: str,  # noqa: ARG002 - LangChain's signature
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - likewise
    ) -> list[Document]:
        return [Document(id=name, page_content=text) for name, text in PASSAGES]


@tool
def weather(city: str) -> str:  # noqa: ARG001 - the weather is the same everywhere
    """Tell the weather in a city."""
    return WEATHER


def gather(question: str) -> dict[str, str]:
    """Fill the prompt's variables, in this thread: spans of parallel branches have no order."""
    passages = " ".join(document.page_content for document in Library().invoke(question))
    return {"passages": passages, "question": question}


def main() -> None:
    """Ask once, and use the tool once."""
    providers = start_sdk()
    LangChainInstrumentor().instrument(tracer_provider=providers.tracer_provider)
    prompt = ChatPromptTemplate.from_messages([("system", PROMPT), ("user", "{question}")])
    model = ChatOpenAI(model="gpt-4o", max_retries=0)
    (RunnableLambda(gather) | prompt | model | StrOutputParser()).invoke(QUESTION)
    weather.invoke({"city": CITY})
    providers.flush()
    mark(RETRIEVAL.name)


if __name__ == "__main__":
    main()
