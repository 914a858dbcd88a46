"""The script in docs/topics/presence.md keeps the list of who is present, whatever it is told, and when."""

import json
import re
from pathlib import Path

from playwright.sync_api import Browser

from fastapi_rooms.payload import Payload
from fastapi_rooms.roster import Roster, Stay

TOPIC = Path(__file__).parents[2] / "docs" / "topics" / "presence.md"


def script() -> str:
    found = re.search(r"```javascript\n(.*?)```", TOPIC.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def plain(message: object) -> object:
    """As it comes to the page."""
    return json.loads(Payload.json(message).data)


def told(roster: Roster) -> list[object]:
    diff = roster.diff()
    return [] if diff is None else [plain({"presence": diff})]


def test_a_page_that_does_as_the_topic_says_has_the_list_that_its_process_has(browser: Browser) -> None:
    roster = Roster(listed=3)
    roster.put("p", Stay("1", "ann", {"name": "Ann"}))
    stale = told(roster)
    messages = [plain({"present": roster.view()}), *stale]
    lists = []

    def tell() -> None:
        messages.extend(told(roster))
        lists.append(plain(roster.view().users))

    roster.put("p", Stay("2", "bob", {}))
    tell()
    roster.put("q", Stay("3", "bob", {"page": "two"}))
    tell()
    roster.drop("p", "1")
    tell()
    for name in ("cid", "dot", "eve"):
        roster.put("q", Stay(name, name, {}))
    tell()
    assert lists[-1] == {}  # they are too many
    for name in ("cid", "dot"):
        roster.drop("q", name)
    tell()
    run = "return messages.map((message) => { onMessage(message); return Object.fromEntries(users); });"
    page = browser.new_page()
    seen = page.evaluate(f"(messages) => {{ {script()} {run} }}", messages)
    page.close()
    assert seen[2:] == lists
