"""The worker of the environment: takes messages from the queue at QUEUE_URL, logs and deletes them.

It needs boto3. The public Python image has the standard library alone, so that boto3 is installed
at the start there; an image of your own would have it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

try:
    import boto3
except ImportError:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "boto3"], check=True)
    import boto3

QUEUE_URL = os.environ["QUEUE_URL"]
WAIT_SECONDS = 20  # long polling: three calls a minute while nothing comes


def main() -> None:
    """Work until SIGTERM. A message that is not deleted by then becomes visible again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    sqs = boto3.client("sqs")
    print(f"taking messages from {QUEUE_URL}", flush=True)
    while True:
        reply = sqs.receive_message(QueueUrl=QUEUE_URL, WaitTimeSeconds=WAIT_SECONDS)
        for message in reply.get("Messages", []):
            print(f"done: {message['Body']}", flush=True)
            sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])


if __name__ == "__main__":
    main()
