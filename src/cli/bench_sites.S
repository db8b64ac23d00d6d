/* SPDX-License-Identifier: MIT */
/*
 * Functions to bind probes to. Each is called, does nothing and returns; none keeps anything below
 * the stack pointer, so that a 5-byte nop in it may become a call.
 */
#ifdef __x86_64__

	.text

	.macro FUNCTION name
	.globl \name
	.hidden \name
	.type \name, @function
	.p2align 6
\name:
	.endm

	.macro NOP5 name
	FUNCTION \name
	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	ret
	.size \name, . - \name
	.endm

	.macro FRAME name
	FUNCTION \name
	push %rbp
	mov %rsp, %rbp
	pop %rbp
	ret
	.size \name, . - \name
	.endm

	.macro NOP1 name
	FUNCTION \name
	nop
	ret
	.size \name, . - \name
	.endm

	NOP5 bench_nop5_begin
	NOP5 bench_nop5_end
	FRAME bench_func_begin
	FRAME bench_func_end
	NOP1 bench_usdt_begin
	NOP1 bench_usdt_end

#endif
	.section .note.GNU-stack, "", %progbits
