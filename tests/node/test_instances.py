"""Two instances of the filter in one proxy, each with half of the traffic: one ledger if they name one policy, else two."""
import json

import pytest
from lifecycle import campaign
from traffic import learned

# The clock: a day in 43 s.
SCALE = 2000


def halves(conf):
    """Adds an instance that is on where the first is off: under /strict/."""
    switch = ('                typed_per_filter_config:\n'
              '                  weir: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}\n'
              '                  weir-b: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}\n')

    def edit(yaml):
        start, end = yaml.index("          - name: weir\n"), yaml.index("          - name: envoy.filters.http.router")
        block = yaml[start:end]
        at = block.index("value: '") + 7
        other = block[:at] + "'" + json.dumps(conf) + "'" + block[block.index("\n", at):]
        other = other.replace("name: weir\n", "name: weir-b\n            disabled: true\n", 1)
        yaml = yaml[:end] + other + yaml[end:]
        route = yaml.index("                match: {prefix: \"/strict/\"}\n")
        return yaml[:route] + switch + yaml[route:]
    return edit


def split(key):
    """Every other key goes to the second instance."""
    return "/strict/v1/chat/completions" if int(key.split("-")[1]) % 2 else "/v1/chat/completions"


@pytest.mark.parametrize("policy", ["test", "other"])
def test_a_campaign_over_two_instances(start, policy):
    # Of these accounts neither half is enough for a verdict (`campaign.d_min` 24), and all of them need a day.
    setup = lambda policy: learned(SCALE, policy=policy, actions={"block": {"for": "80d"}})
    e = start(setup("test"), workers=2, edit=halves(setup(policy)))
    refused = lambda: {split(k): k for k in t.refused()}
    t = campaign(e, 0, path=split, accounts=46, hours=120 if policy == "test" else 36, scale=SCALE)
    if policy == "test":
        t.until(lambda: e.stat("weir.convicted.policy=test") >= 42 and len(refused()) == 2)
        e.wait_stat(lambda n: n >= 42, "weir.convicted.policy=test")
        refused = refused()
        assert len(refused) == 2 and {t.probe(e.port, k) for k in refused.values()} == {429}, "on either route"
        assert e.stat("weir.take_overs") == 1
    else:
        t.join()
        e.wait_stat(lambda n: n == len([k for k in t.seen if int(k.split("-")[1]) % 2 == 0]), "weir.keys.policy=test")
        e.wait_stat(lambda n: n == len([k for k in t.seen if int(k.split("-")[1]) % 2 == 1]), "weir.keys.policy=other")
        assert e.stat("weir.convicted.") == 0
        assert {s for seen in t.seen.values() for s in seen} == {200}
        assert e.stat("weir.take_overs.policy=test") == e.stat("weir.take_overs.policy=other") == 1
