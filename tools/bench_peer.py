"""One measurement of tools/bench_peers.py, in a process of its own.

    bench_peer.py PEER MODEL INPUTS OUTPUT THREADS SECONDS

Imports nothing but numpy and the peer. Inputs (.npz, in the network's order) are bound once, then only the invocation
is timed. The first output of the first run goes to OUTPUT (.npy); the figures, in milliseconds, are printed as JSON.
`cold` is loading and the first run, after the import.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, "np.ndarray[Any, Any]"]
Invoke = Callable[[], object]
Output = Callable[[], Any]
WARM_UP = 0.2  # seconds, at least 3 runs
LEAST = 5  # runs that are timed


def cmf(model: str, inputs: Arrays, threads: int, policy: str = "compact") -> tuple[Invoke, Output]:
    from cmf.runtime import load

    session = load(model, threads=threads, policy=policy)
    names = [info.name for info in session.inputs]
    plan = session.plan(**{name: x.shape for name, x in zip(names, inputs.values())})
    for name, x in zip(names, inputs.values()):
        plan.input(name)[:] = x
    return plan.run, lambda: plan.output(session.outputs[0].name)


def cmf_fast(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    return cmf(model, inputs, threads, "fast")


def onnxruntime(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = {info.name: ort.OrtValue.ortvalue_from_numpy(x) for info, x in zip(session.get_inputs(), inputs.values())}
    outputs = [info.name for info in session.get_outputs()]
    results = session.run_with_ort_values(outputs, values)
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in zip(outputs, results):
        binding.bind_ortvalue_output(name, value)
    return lambda: session.run_with_iobinding(binding), results[0].numpy


def openvino(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    import openvino as ov

    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = ov.Core()
    read = core.read_model(model)
    read.reshape({port: list(x.shape) for port, x in zip(read.inputs, inputs.values())})
    request = core.compile_model(read, "CPU", hints).create_infer_request()
    for index, x in enumerate(inputs.values()):
        request.set_input_tensor(index, ov.Tensor(x, shared_memory=True))
    return lambda: request.infer(share_outputs=True), lambda: request.get_output_tensor(0).data


def mnn(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    import MNN

    network = MNN.Interpreter(model)
    session = network.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    given = network.getSessionInputAll(session)
    if len(given) == 1:  # names may have changed on the way
        given = dict(zip(inputs, given.values()))
    for name, x in inputs.items():
        network.resizeTensor(given[name], x.shape)
    network.resizeSession(session)
    for name, x in inputs.items():
        kind = MNN.Halide_Type_Float if x.dtype == np.float32 else MNN.Halide_Type_Int
        given[name].copyFrom(MNN.Tensor(x.shape, kind, x, MNN.Tensor_DimensionType_Caffe))
    (result,) = network.getSessionOutputAll(session).values()

    def output() -> Any:
        host = MNN.Tensor(result.getShape(), MNN.Halide_Type_Float, np.zeros(result.getShape(), np.float32),
                          MNN.Tensor_DimensionType_Caffe)
        result.copyToHostTensor(host)
        return np.array(host.getNumpyData())

    return lambda: network.runSession(session), output


def ncnn(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, option, False)  # what is compared is f32
    if net.load_param(model) or net.load_model(model.removesuffix(".param") + ".bin"):
        raise RuntimeError("ncnn cannot load what pnnx made")
    given = {name: ncnn.Mat(x[0]).clone() for name, x in zip(net.input_names(), inputs.values())}
    wanted = net.output_names()[0]
    last: list[Any] = [None]

    def run() -> None:
        extractor = net.create_extractor()
        for name, x in given.items():
            extractor.input(name, x)
        last[0] = extractor.extract(wanted)[1]

    return run, lambda: np.array(last[0])


def litert(model: str, inputs: Arrays, threads: int) -> tuple[Invoke, Output]:
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_path=model, num_threads=threads)
    network.allocate_tensors()
    for detail, x in zip(network.get_input_details(), inputs.values()):
        network.set_tensor(detail["index"], x.reshape(detail["shape"]).astype(detail["dtype"]))
    return network.invoke, lambda: network.get_tensor(network.get_output_details()[0]["index"])


PEERS = {"cmf": cmf, "cmf_fast": cmf_fast, "onnxruntime": onnxruntime, "openvino": openvino, "mnn": mnn, "ncnn": ncnn,
         "litert": litert}
MODULES = {"cmf": "cmf.runtime", "cmf_fast": "cmf.runtime", "mnn": "MNN", "litert": "ai_edge_litert.interpreter"}


def main() -> None:
    peer, model, inputs, output, threads, seconds = sys.argv[1:]
    __import__(MODULES.get(peer, peer))
    with np.load(inputs) as file:
        arrays = {name: file[name] for name in file.files}
    now = time.perf_counter
    start = now()
    run, result = PEERS[peer](model, arrays, int(threads))
    run()
    cold = now() - start
    np.save(output, np.array(result()), allow_pickle=False)
    begin, count = now(), 0
    while count < 3 or now() - begin < WARM_UP:
        run()
        count += 1
    times: list[float] = []
    begin = now()
    while len(times) < LEAST or now() - begin < float(seconds):
        start = now()
        run()
        times.append(now() - start)
    print(json.dumps({"median": 1e3 * float(np.median(times)), "min": 1e3 * min(times), "cold": 1e3 * cold,
                      "runs": len(times)}))


if __name__ == "__main__":
    main()
