import torch

from sac_ros.sac.compute.adam import Adam

LEARNING_RATE = 3.0e-4


def make_parameters() -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=rng, requires_grad=True) for shape in ((4, 3), (3,), (1, 2, 5))
    ]


def loss_of(parameters: list[torch.Tensor], step: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(step)
    terms = [(p * torch.randn(p.shape, generator=rng)).sin().sum() for p in parameters]
    return torch.stack(terms).sum()


def descend(optimizer: Adam, loss: torch.Tensor) -> None:
    optimizer.begin_step()
    optimizer.descend(loss)


def test_many_steps_equal_those_of_torch() -> None:
    mine, theirs = make_parameters(), make_parameters()
    optimizer = Adam(mine, LEARNING_RATE, epsilon=1e-4)
    expected = torch.optim.Adam(theirs, lr=LEARNING_RATE, eps=1e-4)

    for step in range(300):
        descend(optimizer, loss_of(mine, step))
        expected.zero_grad()
        loss_of(theirs, step).backward()
        expected.step()

    for parameter, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-5, atol=1e-7)


def test_only_its_own_parameters_move_and_none_keeps_a_gradient() -> None:
    mine, other = make_parameters(), torch.ones(3, requires_grad=True)
    before = mine[1].detach().clone()

    descend(Adam(mine, LEARNING_RATE), loss_of(mine, 0) * other.sum())

    assert torch.equal(other, torch.ones(3)) and other.grad is None
    assert not torch.equal(mine[1], before)
    assert all(parameter.grad is None for parameter in mine)


def test_restored_optimizer_goes_on_identically() -> None:
    mine, theirs = make_parameters(), make_parameters()
    optimizer, restored = Adam(mine, LEARNING_RATE), Adam(theirs, LEARNING_RATE)
    for step in range(3):
        descend(optimizer, loss_of(mine, step))
    with torch.no_grad():
        for parameter, other in zip(mine, theirs, strict=True):
            other.copy_(parameter)

    restored.restore({name: tensor.clone() for name, tensor in optimizer.tensors().items()})
    descend(optimizer, loss_of(mine, 3))
    descend(restored, loss_of(theirs, 3))

    assert all(torch.equal(p, other) for p, other in zip(mine, theirs, strict=True))


def test_learning_rate_may_change_between_steps() -> None:
    mine = make_parameters()
    optimizer = Adam(mine, LEARNING_RATE)
    descend(optimizer, loss_of(mine, 0))
    before = [parameter.detach().clone() for parameter in mine]

    optimizer.learning_rate = 0.0
    descend(optimizer, loss_of(mine, 1))

    assert all(torch.equal(p, other) for p, other in zip(mine, before, strict=True))
