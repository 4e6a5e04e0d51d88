// SPDX-License-Identifier: MIT
/* Print the bucket that the eBPF programs count each number on standard input in. */
#include <stdio.h>
#include <sys/cdefs.h>

#include "hist.bpf.h"

int main(void)
{
	unsigned long long value;

	while (scanf("%llu", &value) == 1)
		printf("%u\n", hist_bucket(value));
	return 0;
}
