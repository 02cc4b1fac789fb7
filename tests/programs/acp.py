#!/usr/bin/python3
"""A double of an agent that speaks the Agent Client Protocol, version 1, over lines: it asks before each command, can be
cancelled, and tells a conversation again that is loaded. The signal USR1 closes its standard output, USR2 ends it in the middle of
a line."""

import json
import os
import queue
import signal
import sys
import threading
import uuid

sys.dont_write_bytecode = True
import mini

HOME = os.path.join(os.environ["HOME"], ".mini")
URL = os.environ.get("MINI_URL", "https://api.openai.com/v1")
MODEL = os.environ.get("MINI_MODEL", "mini-large")
writing = threading.Lock()
answers = queue.Queue()
cancelled = threading.Event()
asked = 0


def send(message):
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def tell(session, update, **more):
    send({"method": "session/update", "params": {"sessionId": session, "update": {"sessionUpdate": update, **more}}})


def text(words):
    return {"type": "text", "text": words}


def place(session):
    return os.path.join(HOME, session + ".json")


def permitted(session, call, command):
    """Asks whether a command may be run, and waits for the answer."""
    global asked
    asked += 1
    number = f"ask-{asked}"
    options = [{"optionId": "yes", "name": "Allow", "kind": "allow_once"},
               {"optionId": "ever", "name": "Always", "kind": "allow_always"},
               {"optionId": "no", "name": "Reject", "kind": "reject_once"}]
    about = {"toolCallId": call, "title": command, "kind": "execute", "rawInput": {"command": command}}
    send({"id": number, "method": "session/request_permission",
          "params": {"sessionId": session, "toolCall": about, "options": options}})
    while True:
        answer = answers.get()
        if answer.get("id") == number:
            return answer.get("result", {}).get("outcome", {}).get("optionId") == "yes"


def turn(request, session, prompt):
    """One prompt, to its end."""
    # A signal that came to this thread would be seen by the main one only when that wakes up.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    messages = mini.load(place(session)) + [{"role": "user", "content": prompt}]
    used = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    reason = None
    while reason is None:
        try:
            message, usage = mini.ask(URL, os.environ["OPENAI_API_KEY"], MODEL, messages)
        except mini.Refused as refused:
            return send({"id": request, "error": {"code": -32603, "message": str(refused)}})
        for ours, theirs in [("inputTokens", "prompt_tokens"), ("outputTokens", "completion_tokens"),
                             ("totalTokens", "total_tokens")]:
            used[ours] += usage.get(theirs, 0)
        messages.append(message)
        words = message["content"]
        for at in range(0, len(words), 7):
            tell(session, "agent_message_chunk", content=text(words[at:at + 7]))
        wanted = list(mini.calls(message))
        for call, command in wanted:
            tell(session, "tool_call", toolCallId=call, title=command, kind="execute", status="pending",
                 rawInput={"command": command})
            if cancelled.is_set() or not permitted(session, call, command):
                code, output, status = None, "it was not allowed", "failed"
            else:
                tell(session, "tool_call_update", toolCallId=call, status="in_progress")
                code, output = mini.run(command)
                status = "completed" if code == 0 else "failed"
            tell(session, "tool_call_update", toolCallId=call, status=status,
                 content=[{"type": "content", "content": text(output)}], rawOutput={"exitCode": code})
            messages.append({"role": "tool", "tool_call_id": call, "content": f"exit code {code}\n{output}"})
        mini.save(place(session), messages)
        if cancelled.is_set():
            reason = "cancelled"
        elif not wanted:
            reason = "end_turn"
    send({"id": request, "result": {"stopReason": reason, "usage": used}})


def loaded(session):
    """Tells a conversation again."""
    for message in mini.load(place(session)):
        kind = {"user": "user_message_chunk", "assistant": "agent_message_chunk"}.get(message["role"])
        if kind and message["content"]:
            tell(session, kind, content=text(message["content"]))
        for call, command in mini.calls(message):
            tell(session, "tool_call", toolCallId=call, title=command, kind="execute", status="completed")


def handle(message):
    method, request, params = message["method"], message.get("id"), message.get("params", {})
    if method == "initialize":
        about = {"name": "mini", "version": "1.0"}
        capabilities = {"loadSession": True, "promptCapabilities": {}}
        result = {"protocolVersion": 1, "agentCapabilities": capabilities, "agentInfo": about, "authMethods": []}
    elif method == "session/new":
        session = "mini-" + uuid.uuid4().hex
        mini.save(place(session), [])
        result = {"sessionId": session}
    elif method == "session/load":
        if mini.load(place(params["sessionId"])) is None:
            return send({"id": request, "error": {"code": -32002, "message": "there is no such session"}})
        loaded(params["sessionId"])
        result = {}
    elif method == "session/prompt":
        cancelled.clear()
        words = "".join(part.get("text", "") for part in params["prompt"])
        return threading.Thread(target=turn, args=(request, params["sessionId"], words), daemon=True).start()
    elif method == "session/cancel":
        return cancelled.set()
    else:
        return send({"id": request, "error": {"code": -32601, "message": f"there is no method {method}"}})
    send({"id": request, "result": result})


def in_the_middle(*_):
    os.write(1, b'{"jsonrpc": "2.0", "method": "session/upd')
    os._exit(3)


signal.signal(signal.SIGUSR1, lambda *_: os.close(1))
signal.signal(signal.SIGUSR2, in_the_middle)
for line in sys.stdin:
    message = json.loads(line)
    if "method" in message:
        handle(message)
    else:
        answers.put(message)
