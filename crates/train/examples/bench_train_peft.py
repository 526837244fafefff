#!/usr/bin/env python3
"""PEFT's side of bench_train: the same base model, batches and settings, in f32 on the processor.

usage: bench_train_peft.py FIXTURE --threads N      (needs torch, transformers, peft, safetensors)
"""
import json, os, resource, statistics, sys, time

fixture, threads = sys.argv[1], int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

torch.set_num_threads(threads)
torch.manual_seed(0)
base = AutoModelForCausalLM.from_pretrained(fixture + "/base", dtype=torch.float32, attn_implementation="sdpa")
targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets, bias="none", task_type="CAUSAL_LM")
model = get_peft_model(base, lora)
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0)
speeds, loss = [], 0.0
for batch in load_file(fixture + "/tokens.safetensors")["tokens"]:
    began = time.process_time()
    result = model(input_ids=batch, labels=batch)
    result.loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    speeds.append(batch.numel() / (time.process_time() - began))
    loss = result.loss.item()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"tokensPerCpuSecond": statistics.median(speeds[1:]), "peakMib": peak, "lastLoss": loss}))
