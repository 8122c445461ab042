"""The vendors' own Python clients through Envoy: ordinary answers when allowed, their own rate-limit error with a parsed body
when blocked, and exactly one attempt."""
import json

import anthropic
import harness
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from harness import config, key_id


def sse(*events, names=()):
    out = ""
    for i, e in enumerate(events):
        if names:
            out += f"event: {names[i]}\n"
        out += f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n"
    return 200, "text/event-stream", out.encode()


def openai_answer(path, body):
    request = json.loads(body)
    if "/responses" in path:
        done = {"id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "parallel_tool_calls": True,
                "tool_choice": "auto", "tools": [],
                "output": [{"type": "message", "id": "m1", "status": "completed", "role": "assistant",
                            "content": [{"type": "output_text", "text": "a weir", "annotations": []}]}]}
        return 200, "application/json", json.dumps(done).encode()
    if "/embeddings" in path:
        return 200, "application/json", json.dumps({"object": "list", "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1},
                                                    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]}).encode()
    if request.get("stream"):
        chunk = lambda text, end=None: {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                                        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}
        return sse(chunk("a "), chunk("weir"), chunk("", "stop"), "[DONE]")
    return 200, "application/json", json.dumps(
        {"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a weir"}}]}).encode()


def anthropic_answer(path, body):
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
               "content": [{"type": "text", "text": "a weir"}], "usage": {"input_tokens": 1, "output_tokens": 2}}
    if not json.loads(body).get("stream"):
        return 200, "application/json", json.dumps(message).encode()
    events = [
        {"type": "message_start", "message": {**message, "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a weir"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return sse(*events, names=[e["type"] for e in events])


def gemini_answer(path, body):
    part = lambda text: {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}]}
    if "stream" in path.lower():
        return sse(part("a "), part("weir"))
    return 200, "application/json", json.dumps(part("a weir")).encode()


def answer(path, body):
    if "generateContent" in path.replace("Stream", "stream") or "GenerateContent" in path:
        return gemini_answer(path, body)
    return anthropic_answer(path, body) if "/messages" in path else openai_answer(path, body)


@pytest.fixture
def upstream():
    up = harness.Upstream(answer)
    yield up
    up.stop()


DENY = [{"name": "a", "key": key_id("bad")}]


@pytest.fixture(params=[True, False], ids=["held", "released"])
def envoy(request, start):
    return start(config(deny=DENY, inspect={"hold_headers": request.param}))


def attempts(envoy):
    return envoy.stat("weir.requests_seen")


def oai(envoy, key):
    return openai.OpenAI(api_key=key, base_url=f"http://127.0.0.1:{envoy.port}/v1")


MESSAGES = [{"role": "user", "content": "what is a weir and what is it for"}]


def test_openai_allowed(envoy, upstream):
    c = oai(envoy, "good")
    assert c.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content == "a weir"
    parts = c.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in parts) == "a weir"
    assert c.responses.create(model="m", input="what is a weir").output_text == "a weir"
    assert c.embeddings.create(model="m", input="a weir", encoding_format="float").data[0].embedding == [0.5, 0.25]
    assert len(upstream.requests) == attempts(envoy) == 4


@pytest.mark.parametrize("call", [
    lambda c: c.chat.completions.create(model="m", messages=MESSAGES),
    lambda c: c.chat.completions.create(model="m", messages=MESSAGES, stream=True),
    lambda c: c.responses.create(model="m", input="what is a weir"),
    lambda c: c.completions.create(model="m", prompt="a weir is"),
    lambda c: c.embeddings.create(model="m", input="a weir"),
], ids=["chat", "chat stream", "responses", "completions", "embeddings"])
def test_openai_blocked_once(envoy, upstream, call):
    with pytest.raises(openai.RateLimitError) as e:
        call(oai(envoy, "bad"))
    assert e.value.status_code == 429
    assert e.value.code == "rate_limit_exceeded" and e.value.type == "requests"
    assert e.value.body["message"].startswith("Request limit reached. Case ")
    assert (attempts(envoy), len(upstream.requests)) == (1, 0)


def test_anthropic_allowed(envoy, upstream):
    c = anthropic.Anthropic(api_key="good", base_url=f"http://127.0.0.1:{envoy.port}")
    assert c.messages.create(model="m", max_tokens=9, messages=MESSAGES).content[0].text == "a weir"
    with c.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as s:
        assert s.get_final_text() == "a weir"
    assert len(upstream.requests) == attempts(envoy) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_blocked_once(envoy, upstream, stream):
    c = anthropic.Anthropic(api_key="bad", base_url=f"http://127.0.0.1:{envoy.port}")
    with pytest.raises(anthropic.RateLimitError) as e:
        c.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=stream)
    assert e.value.body["error"]["type"] == "rate_limit_error"
    assert e.value.body["error"]["message"].startswith("Request limit reached. Case ")
    assert e.value.request_id == e.value.body["request_id"]
    assert (attempts(envoy), len(upstream.requests)) == (1, 0)


def gemini(envoy, key):
    return genai.Client(api_key=key, http_options=genai_types.HttpOptions(base_url=f"http://127.0.0.1:{envoy.port}"))


def test_gemini_allowed(envoy, upstream):
    c = gemini(envoy, "good")
    assert c.models.generate_content(model="g", contents="what is a weir").text == "a weir"
    assert "".join(p.text for p in c.models.generate_content_stream(model="g", contents="what is a weir")) == "a weir"
    assert len(upstream.requests) == attempts(envoy) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_blocked_once(envoy, upstream, stream):
    c = gemini(envoy, "bad")
    with pytest.raises(genai_errors.ClientError) as e:
        if stream:
            list(c.models.generate_content_stream(model="g", contents="what is a weir"))
        else:
            c.models.generate_content(model="g", contents="what is a weir")
    assert (e.value.code, e.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "Request limit reached. Case " in e.value.message
    assert (attempts(envoy), len(upstream.requests)) == (1, 0)


def test_a_throttled_client_waits_and_succeeds(start, upstream):
    e = start(config(limits=[{"name": "burst", "requests": 1, "per": "2s"}]))
    c = oai(e, "good")
    assert c.chat.completions.create(model="m", messages=MESSAGES).choices
    assert c.chat.completions.create(model="m", messages=MESSAGES).choices, "after its own retry"
    assert attempts(e) >= 3
    assert len(upstream.requests) == 2
