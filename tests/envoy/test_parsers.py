"""Every row of tests/fixtures/parsers through a real Envoy: a prompt that is denied reaches the upstream in none of these ways."""
import json
import os

from harness import GOOD, config, post, template_ids

PROMPT = "the prompt of the request"
# The same with enough phrases to be recognised.
DENIED = PROMPT + " that nobody may send whatever the spelling of the body around it and however many parsers would take it for something else"
CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "parsers", "cases.json")


def body(case):
    """The bytes of a row, and whether the denied prompt is in them."""
    if "hex" in case:
        return bytes.fromhex(case["hex"]), False
    text = case["body"]
    carries = PROMPT in text and PROMPT in case["text"]
    if carries:
        text = text.replace(PROMPT, DENIED)
    if "fill" in case:
        text = text.replace("@@", case["fill"][0] * case["fill"][1])
    return text.encode(case.get("encode", "utf-8")), carries


def test_a_denied_prompt_reaches_the_upstream_in_no_spelling(start, upstream):
    # Rows whose bytes are fixed keep the short prompt: they are to be served.
    deny = [{"name": t, "template": t} for t in template_ids(DENIED) if t not in template_ids(PROMPT)]
    assert len(deny) >= 3
    e = start(config(deny=deny, limits=[], inspect={"hold_headers": True, "on_unreadable": "reject"}))
    with open(CASES) as h:
        cases = json.load(h)
    served, refused, carried = 0, 0, 0
    for case in cases:
        data, carries = body(case)
        name = f"{case['kind']}: {case['name']}"
        before = len(upstream.requests)
        status = post(e.port, path=case.get("path", "/v1/chat/completions"), body=data, headers=GOOD).status
        carried += carries
        if carries or case["weir"] != "read":
            assert status in ((429,) if carries and case["weir"] == "read" else (400, 429)), name
            assert len(upstream.requests) == before, name
            refused += 1
        else:
            assert status == 200, name
            assert len(upstream.requests) == before + 1 and upstream.requests[-1][1] == data, name
            served += 1
    assert carried > 100
    print(f"\n{len(cases)} bodies, {carried} of them with the denied prompt: {refused} refused, {served} served as they were")
    told = e.stat("weir.unreadable")
    assert told >= sum(c["weir"] != "read" for c in cases), told
