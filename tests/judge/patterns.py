"""MiniStack's TestEventPattern as a process: run by .venv-judge's Python, which alone has it.

A line of JSON is a question, {"EventPattern", "Event"} with both as text, as the API has it. A line
of JSON is its answer: {"status", "said"}.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
"""

from __future__ import annotations

import json
import sys

from ministack.services import eventbridge


def main() -> None:
    for line in sys.stdin:
        status, _, body = eventbridge._test_event_pattern(json.loads(line))
        print(json.dumps({"status": status, "said": json.loads(body)}), flush=True)


if __name__ == "__main__":
    main()
