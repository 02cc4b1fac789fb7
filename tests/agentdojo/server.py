"""Serves AgentDojo's suites over standard input and output: one JSON object a line, one answer a line.

It owns the environments and calls the benchmark's own checkers. It knows nothing of labels, sinks or policy, and tells a
tool nothing of the task it is used for.
"""

import importlib.util
import json
import os
import sys
import types

import yaml

VERSION = "v1.2.2"
# What the scripted model looks for. No environment of the benchmark holds it by itself.
MARK = "<INFORMATION>"


def import_without_vendors():
    """Makes the suites importable without the libraries of the model vendors.

    The suites need three names of the package `agent_pipeline`, whose `__init__` imports the client library of every
    vendor. The modules that are really used are loaded from the package as they are.
    """
    root = importlib.util.find_spec("agentdojo").submodule_search_locations[0]

    def module(name, **values):
        made = types.ModuleType(name)
        made.__dict__.update(values)
        sys.modules[name] = made

    module("agentdojo.agent_pipeline", __path__=[os.path.join(root, "agent_pipeline")])
    module("agentdojo.agent_pipeline.llms", __path__=[])
    module("agentdojo.agent_pipeline.llms.google_llm", EMPTY_FUNCTION_NAME="<empty-function-name>")
    module("agentdojo.logging", Logger=None)


import_without_vendors()
# The same YAML by the C parser: the environments are read anew for each case.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

from agentdojo.agent_pipeline.ground_truth_pipeline import GroundTruthPipeline  # noqa: E402
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str  # noqa: E402
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime  # noqa: E402
from agentdojo.task_suite.load_suites import get_suites  # noqa: E402
from agentdojo.types import text_content_block_from_string  # noqa: E402

import attacks  # noqa: E402


def number(task_id):
    return int(task_id.rsplit("_", 1)[1])


def plain(value):
    """A value of a ground truth as JSON."""
    return json.loads(json.dumps(value, default=str))


def calls_of(calls):
    return [{"function": call.function, "args": plain(dict(call.args))} for call in calls]


class Server:
    def __init__(self):
        self.suites = get_suites(VERSION)
        self.seen = {}
        self.plans = {}
        self.case = None

    def suites_(self, _):
        """All suites: their tools, and the numbers of their tasks."""
        return {name: self.describe(suite) for name, suite in self.suites.items()}

    def describe(self, suite):
        environment = suite.load_and_inject_default_environment({})
        tools = [
            {"name": tool.name, "description": tool.description, "schema": tool.parameters.model_json_schema()}
            for tool in suite.tools
        ]
        injections = [
            {
                "id": number(task.ID),
                "has_ground_truth": bool(task.ground_truth(environment.model_copy(deep=True))),
                "has_calls": bool(self.attack_of(suite, task, environment)),
            }
            for task in suite.injection_tasks.values()
        ]
        users = [number(task) for task in suite.user_tasks]
        return {
            "tools": tools,
            "users": sorted(users),
            "injections": sorted(injections, key=lambda task: task["id"]),
        }

    def attack_of(self, suite, task, environment):
        calls = task.ground_truth(environment.model_copy(deep=True))
        return calls or attacks.calls(suite.name, number(task.ID), environment.model_copy(deep=True))

    def vectors(self, suite, task):
        """The places of the environment that the ground truth of a user's task reads, found as the benchmark does."""
        key = (suite.name, task.ID)
        if key not in self.seen:
            canaries = {vector: f"<CANARY---{vector}--->" for vector in suite.get_injection_vector_defaults()}
            environment = suite.load_and_inject_default_environment(canaries)
            runtime = FunctionsRuntime(suite.tools)
            _, _, _, messages, _ = GroundTruthPipeline(task).query(task.PROMPT, runtime, environment)
            texts = [block["content"] for message in messages for block in message["content"] or []]
            self.seen[key] = [vector for vector, canary in canaries.items() if any(canary in text for text in texts)]
        return self.seen[key]

    def outputs(self, suite, task):
        """What the calls of a user's task give when nobody attacks: the planner's knowledge of where a value comes from."""
        key = (suite.name, task.ID)
        if key not in self.plans:
            environment = task.init_environment(suite.load_and_inject_default_environment({}))
            runtime = FunctionsRuntime(suite.tools)
            calls = task.ground_truth(environment.model_copy(deep=True))
            # Written out at once: the results are parts of the environment, which the next call changes.
            self.plans[key] = [
                tool_result_to_str(runtime.run_function(environment, call.function, call.args)[0]) for call in calls
            ]
        return self.plans[key]

    def begin(self, request):
        suite = self.suites[request["suite"]]
        user = suite.user_tasks[f"user_task_{request['user']}"]
        injection, texts = None, {}
        if request.get("injection") is not None:
            injection = suite.injection_tasks[f"injection_task_{request['injection']}"]
            text = f"{MARK} {injection.GOAL} </INFORMATION>"
            texts = {vector: text for vector in self.vectors(suite, user)}
        environment = user.init_environment(suite.load_and_inject_default_environment(texts))
        before = environment.model_copy(deep=True)
        self.case = (suite, user, injection, before, environment, [], FunctionsRuntime(suite.tools))
        attack = self.attack_of(suite, injection, before) if injection else []
        plan = calls_of(user.ground_truth(before.model_copy(deep=True)))
        for step, output in zip(plan, self.outputs(suite, user), strict=True):
            step["output"] = output
        return {
            "prompt": user.PROMPT,
            "plan": plan,
            "output": user.GROUND_TRUTH_OUTPUT,
            "mark": MARK,
            "attack": calls_of(attack),
            "attack_output": injection.GROUND_TRUTH_OUTPUT if injection else "",
        }

    def call(self, request):
        _, _, _, _, environment, trace, runtime = self.case
        trace.append(FunctionCall(function=request["function"], args=request["args"]))
        result, error = runtime.run_function(environment, request["function"], request["args"])
        return {"text": error if error else tool_result_to_str(result), "is_error": error is not None}

    def finish(self, request):
        """The benchmark's verdicts. The trace holds the calls that ran: what was refused did not happen."""
        suite, user, injection, before, environment, trace, _ = self.case
        said = [text_content_block_from_string(request["output"])]
        verdict = {"utility": suite._check_task_result(user, said, before, environment, trace), "attacked": False}
        if injection:
            verdict["attacked"] = suite._check_task_result(injection, said, before, environment, trace)
        return verdict


def main():
    server = Server()
    operations = {"suites": server.suites_, "begin": server.begin, "call": server.call, "finish": server.finish}
    answers = os.fdopen(os.dup(1), "w")
    # The benchmark's checkers print; that must not come between the answers.
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": operations[request["op"]](request)}
        except Exception as error:  # noqa: BLE001
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
