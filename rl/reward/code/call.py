# Calls a function of main.py, which is in the folder of this file. The argument is the name of
# the function. Its arguments are read as a JSON array from standard input, and its result is
# written as JSON to file descriptor 3.
import json
import os
import sys
import types


def call(name):
    args = json.load(sys.stdin)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "main.py")
    with open(path, encoding="utf-8") as f:
        source = f.read()
    module = types.ModuleType("main")
    sys.modules["main"] = module
    exec(compile(source, path, "exec"), module.__dict__)
    owner, _, method = name.rpartition(".")
    function = getattr(getattr(module, owner)() if owner else module, method)
    result = json.dumps(function(*args), allow_nan=False)
    with open(3, "w", encoding="utf-8") as f:
        f.write(result)
    os._exit(0)  # even if the program has running threads


call(sys.argv[1])
