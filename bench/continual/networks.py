"""Networks of the suites: a small one for 8 x 8 digits, and the three of the published scripts."""

from torch import nn
from torch.nn import functional


def digits(n_classes, channels=1, size=8):
    """Two convolutions and two hidden layers; 20,680 weights."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (size // 2) ** 2, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 48),
        nn.BatchNorm1d(48),
        nn.ReLU(),
        nn.Linear(48, n_classes),
    )


def lenet(n_classes, channels=3, size=32):
    """Two convolutions of 5 x 5, layers of 800 and 500."""
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5, padding=2),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5, padding=2),
        nn.BatchNorm2d(50),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * (size // 4) ** 2, 800),
        nn.BatchNorm1d(800),
        nn.ReLU(),
        nn.Linear(800, 500),
        nn.BatchNorm1d(500),
        nn.ReLU(),
        nn.Linear(500, n_classes),
    )


def alexnet(n_classes, channels=3, size=32):
    """Three convolutions without padding, two layers of 2048; norms use the batch's statistics."""
    layers, width = [], channels
    for out, kernel, dropout in ((64, 4, 0.2), (128, 3, 0.2), (256, 2, 0.5)):
        layers += [nn.Conv2d(width, out, kernel), nn.BatchNorm2d(out, track_running_stats=False)]
        layers += [nn.ReLU(), nn.Dropout(dropout), nn.MaxPool2d(2)]
        width, size = out, (size - kernel + 1) // 2
    layers.append(nn.Flatten())
    width *= size**2
    for _ in range(2):
        layers += [nn.Linear(width, 2048), nn.BatchNorm1d(2048, track_running_stats=False)]
        layers += [nn.ReLU(), nn.Dropout(0.5)]
        width = 2048
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


class _Block(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1)
        self.norm1 = nn.BatchNorm2d(n_out, track_running_stats=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(n_out, track_running_stats=False)
        self.shortcut = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride),
                nn.BatchNorm2d(n_out, track_running_stats=False),
            )

    def forward(self, x):
        out = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


def resnet18(n_classes, channels=3, size=32, width=32):
    """Eight blocks of two 3 x 3 convolutions; norms use the batch's statistics."""
    layers = [nn.Conv2d(channels, width, 3, padding=1)]
    layers += [nn.BatchNorm2d(width, track_running_stats=False), nn.ReLU()]
    n_in = width
    for stage in range(4):
        n_out = width * 2**stage
        layers += [_Block(n_in, n_out, 1 if stage == 0 else 2), _Block(n_out, n_out, 1)]
        n_in = n_out
    side = -(-size // 8) // 2
    layers += [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(n_in * side**2, n_classes)]
    return nn.Sequential(*layers)


NETWORKS = {"digits": digits, "lenet": lenet, "alexnet": alexnet, "resnet18": resnet18}
