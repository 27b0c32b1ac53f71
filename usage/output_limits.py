"""The most that each of OpenAI's models puts out in one answer, which genai-prices does not know."""

from usage.model_names import best_match

# "Max output tokens" of the models' pages at https://developers.openai.com/api/docs/models, and of
# https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json for models that are gone.
# Not checked against either: gpt-4, gpt-4-turbo, gpt-4.1, the o-series, gpt-image-1, gpt-oss, base models.
# The longest pattern wins. Where a family differs or a page says nothing, the family's largest: too large
# a number reserves too much of a budget for a moment, one too small lets it be overspent.
MAX_OUTPUT_TOKENS = {
    "babbage-002": 16_384,
    "davinci-002": 16_384,
    "gpt-3.5-turbo*": 4_096,
    "gpt-4": 8_192,
    "gpt-4-0*": 8_192,
    "gpt-4-32k*": 32_768,
    "gpt-4-*preview": 4_096,
    "gpt-4-turbo*": 4_096,
    "gpt-4.1*": 32_768,
    "gpt-4.5*": 16_384,
    "gpt-4o*": 16_384,
    "gpt-4o-2024-05-13": 4_096,
    "gpt-4o-realtime*": 4_096,
    "gpt-4o-mini-realtime*": 4_096,
    "gpt-4o-transcribe*": 2_000,
    "gpt-4o-mini-transcribe*": 2_000,
    "chatgpt-4o*": 16_384,
    "gpt-5*": 128_000,
    "gpt-5-chat*": 16_384,
    "gpt-5.[1-3]-chat*": 16_384,
    "gpt-5-pro*": 272_000,
    "gpt-6*": 128_000,
    "gpt-rosalind*": 128_000,
    "chat-latest": 128_000,
    "gpt-chat-latest": 128_000,
    "gpt-audio*": 16_384,
    "gpt-realtime*": 4_096,
    "gpt-realtime-2*": 32_000,
    "gpt-oss*": 131_072,
    "o1*": 100_000,
    "o1-mini*": 65_536,
    "o1-preview*": 32_768,
    "o3*": 100_000,
    "o4-mini*": 100_000,
    "codex-mini*": 100_000,
    "computer-use*": 1_024,
    # Of one image, at the highest quality and the largest size.
    "gpt-image-1*": 6_240,
    "chatgpt-image*": 6_240,
    # Embeddings are not made of model tokens.
    "text-embedding-*": 0,
}


def max_output_tokens(model: str) -> int | None:
    return best_match(MAX_OUTPUT_TOKENS, model)
