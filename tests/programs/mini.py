"""The model's side of a small coding agent, which the doubles in this directory share: one tool, a shell, and a conversation
that lies in a file."""

import json
import os
import subprocess
import urllib.error
import urllib.request

TOOL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Runs a command.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


class Refused(Exception):
    """The vendor did not answer."""


def ask(url, key, model, messages):
    """The model's next message, and what it has used."""
    body = json.dumps({"model": model, "messages": messages, "tools": [TOOL]}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer " + key}
    request = urllib.request.Request(url + "/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Refused(f"POST {url}/chat/completions: {error.code} {error.reason}: {error.read().decode()[:300]}")
    except OSError as error:
        raise Refused(f"error sending request for url ({url}): {error}")
    message = {name: value for name, value in said["choices"][0]["message"].items() if value is not None}
    message.setdefault("content", "")
    return message, said.get("usage") or {}


def calls(message):
    """The commands that the model wants run: the number of the call and the command."""
    for call in message.get("tool_calls") or []:
        yield call["id"], json.loads(call["function"]["arguments"] or "{}").get("command", "")


def run(command):
    """Runs a command: its exit code and its output."""
    done = subprocess.run(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def load(path):
    """A conversation; none where there is none of that name."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def save(path, messages):
    """Writes a conversation down, whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(messages, file)
    os.replace(path + ".new", path)
