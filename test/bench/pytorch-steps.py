"""
The training steps that `beside-pytorch.ts` compares with, in eager PyTorch on one thread: forward, backward and the
update of plain gradient descent, batch 64. Reads lines `MODEL STEPS` and answers each with milliseconds per step.
"""

import sys
import time

import torch
from torch import nn

BATCH = 64
CLASSES = 10

torch.set_num_threads(1)
torch.manual_seed(1)


class LastOutput(nn.Module):
    """What a recurrent layer gives at the last time."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0][:, -1]


def convolution(into, out, padding=0):
    return nn.Conv2d(into, out, 5, padding=padding)


MODELS = {
    "mlp": (
        (784,),
        lambda: nn.Sequential(
            nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)
        ),
    ),
    "2nn": (
        (784,),
        lambda: nn.Sequential(
            nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
        ),
    ),
    "lstm": (
        (20, 16),
        lambda: nn.Sequential(LastOutput(nn.LSTM(16, 16, batch_first=True)), nn.Linear(16, 10)),
    ),
    "lenet5-bn": (
        (1, 28, 28),
        lambda: nn.Sequential(
            convolution(1, 6, padding=2), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(2),
            convolution(6, 16), nn.BatchNorm2d(16), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
        ),
    ),
    "mcmahan-cnn": (
        (1, 28, 28),
        lambda: nn.Sequential(
            convolution(1, 32, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            convolution(32, 64, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10),
        ),
    ),
}

steps = {}


def step_of(name):
    if name in steps:
        return steps[name]
    shape, build = MODELS[name]
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()
    x = torch.randn(BATCH, *shape)
    y = torch.arange(BATCH) % CLASSES

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(x), y).backward()
        optimizer.step()

    for _ in range(5):
        step()
    steps[name] = step
    return step


print(f"PyTorch {torch.__version__}", flush=True)
for line in sys.stdin:
    name, count = line.split()
    step = step_of(name)
    start = time.perf_counter()
    for _ in range(int(count)):
        step()
    print(1000 * (time.perf_counter() - start) / int(count), flush=True)
