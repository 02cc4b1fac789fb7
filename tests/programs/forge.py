#!/usr/bin/python3
"""A double of forge, of which there is no package: text with colours, a spinner on standard error, its own marks, the exit code
0 whatever happened, conversations by number. Its commands are asked of a model through the way out that it finds."""

import json
import os
import sys
import time

sys.dont_write_bytecode = True
import mini

YELLOW, DIM, RESET = "\033[33m", "\033[2m", "\033[0m"


def mark(text):
    print(f"{YELLOW}●{RESET} [{time.strftime('%H:%M:%S')}] {text}", flush=True)


def spin(text):
    # It does so without a terminal as well, and whatever NO_COLOR says.
    print(f"\033[2K⠋ {text} 0s\r\033[2K⠙ {text} 1s", file=sys.stderr, flush=True)


def main():
    options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    session, prompt = options["--conversation-id"], options["-p"]
    home = os.environ["FORGE_CONFIG"]
    credentials = mini.load(os.path.join(home, ".credentials.json"))
    if credentials is None:
        print("ERROR: no terminal to ask for a provider", file=sys.stderr)
        return 0
    entry = credentials[0]
    url = entry.get("url_params", {}).get("OPENAI_URL", "https://api.openai.com/v1")
    model = os.environ["FORGE_SESSION__MODEL_ID"]
    path = os.path.join(home, "conversations", session + ".json")
    messages = mini.load(path)
    mark(f"{'Initialize' if messages is None else 'Continue'} {session}")
    messages = (messages or []) + [{"role": "user", "content": prompt}]
    while True:
        spin("Thinking")
        try:
            message, _ = mini.ask(url, entry["auth_details"]["api_key"], model, messages)
        except mini.Refused as refused:
            mark(f"ERROR: {refused}")
            return 0
        messages.append(message)
        if message["content"]:
            print(message["content"], flush=True)
        wanted = list(mini.calls(message))
        for call, command in wanted:
            mark(f"Execute {DIM}[/bin/sh]{RESET} {command}")
            code, output = mini.run(command)
            sys.stdout.write(output)
            messages.append({"role": "tool", "tool_call_id": call, "content": f"exit code {code}\n{output}"})
        mini.save(path, messages)
        if not wanted:
            mark(f"{DIM}Finished{RESET} {session}")
            return 0


sys.exit(main())
