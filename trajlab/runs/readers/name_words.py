"""Words in the names of checkpoints, and what the numbers beside them are."""

import re

STEP, EPOCH, SAVE, PLAIN = "step", "epoch", "checkpoint", "plain"
"""Roles of numbers that can be the step, the most telling first."""

MEASURE, IDENTITY, NET = "measure", "identity", "net"
"""Roles of numbers that never are: a loss or the like, a seed or the like, digits of a net's name."""

UNITS = {
    STEP: "step steps globalstep/iteration iter iters iterations it itr its ite/update updates upd/batch batches"
    "/timestep timesteps/frame frames/token tokens/kimg",
    EPOCH: "epoch epochs ep e epo/episode episodes/round rounds",
    SAVE: "checkpoint checkpoints ckpt ckpts chkpt chkpnt cpt cp chk/snapshot snapshots snap/save saved",
}
"""Words of time, those of one unit together, the most telling unit of each role first."""

OTHERS = {
    MEASURE: "loss losses acc accuracy reward rewards score scores val valid validation lr auc auroc f mse mae rmse "
    "psnr ssim fid kid iou miou map ap dice bleu rouge wer cer ppl perplexity err error top precision recall elbo kl "
    "nll bpb bpc metric metrics return cost corr eer ndcg mrr snr sdr wd momentum temp tau eps gap",
    IDENTITY: "seed seeds fold folds rank ranks version ver v run runs trial exp experiment worker gpu node split cv "
    "rep repeat replica job task part shard mp pp tp dp zero stage phase head layer layers block group client agent "
    "member id size dim dims hidden width depth heads bs px res resolution crop config cfg setting variant of",
}
"""Words of numbers that are never the step."""

UNIT_OF = {
    word: (role, words.split()[0])
    for role, units in UNITS.items()
    for words in units.split("/")
    for word in words.split()
}
"""Role and unit of each word of time."""

ROLE_OF = {word: role for word, (role, _) in UNIT_OF.items()} | {
    word: role for role, words in OTHERS.items() for word in words.split()
}

COPIES = frozenset("best last latest final copy".split())
"""Words of a checkpoint that is stored a second time."""

GENERIC = frozenset(
    "model models net network weights weight params state states dict pytorch module global num n total idx".split()
)
"""Words that do not tell one network from another."""

NETS = re.compile(
    r".+(?:nets?|next|former|mixer)|wrn|vgg|gpt|bert|inception|vit|swin|deit|beit|yolov?|llama|dinov?|pythia|bloom|gemma"
    r"|qwen|mistral|falcon|phi|clip",
    re.IGNORECASE,
)
"""Words that name networks; digits directly behind them belong to the name."""

LONG = ("iteration", "checkpoint", "epochs", "epoch", "steps", "step", "iters", "iter", "ckpt", "seed", "fold", "loss")
"""Words that are known at the end of others, too, as in modelepoch3."""


def role_of(word: str) -> tuple[str | None, str]:
    """Return what a number beside a word is, None if the word does not tell, and the part of it that does.

    >>> [role_of(word) for word in ("epoch", "bestEpoch", "globalstep", "netE", "loss", "model")]
    [('epoch', 'epoch'), ('epoch', 'Epoch'), ('step', 'globalstep'), (None, ''), ('measure', 'loss'), (None, '')]
    """
    if word.lower() in ROLE_OF and not (len(word) == 1 and word.isupper()):
        return ROLE_OF[word.lower()], word
    humps = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", word)
    ends = [humps[-1]] if len(humps) > 1 and len(humps[-1]) > 1 else []
    ends += [word[-len(end) :] for end in LONG if word.lower().endswith(end)]
    return next(((ROLE_OF[end.lower()], end) for end in ends if end.lower() in ROLE_OF), (None, ""))
