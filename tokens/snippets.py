"""How a token is used, ready to be pasted."""

from dataclasses import dataclass

MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True)
class Snippet:
    name: str
    title: str
    text: str


def snippets(base_url: str, plain: str) -> list[Snippet]:
    """`base_url`: of the proxy, as the reader's browser reaches it."""
    return [
        Snippet("curl", "curl", f'curl {base_url}/models -H "Authorization: Bearer {plain}"'),
        Snippet("environment", "Environment variables", _environment(base_url, plain)),
        Snippet("python", "Python", _python(base_url, plain)),
        Snippet("node", "Node", _node(base_url, plain)),
    ]


def _environment(base_url: str, plain: str) -> str:
    return f"OPENAI_BASE_URL={base_url}\nOPENAI_API_KEY={plain}"


def _python(base_url: str, plain: str) -> str:
    return f'''from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key="{plain}")
answer = client.chat.completions.create(
    model="{MODEL}", messages=[{{"role": "user", "content": "Say hello."}}]
)
print(answer.choices[0].message.content)'''


def _node(base_url: str, plain: str) -> str:
    return f'''import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base_url}", apiKey: "{plain}" }});
const answer = await client.chat.completions.create({{
  model: "{MODEL}",
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(answer.choices[0].message.content);'''
