/* SPDX-License-Identifier: MIT */
/*
 * Functions made of exactly these instructions, for the tests of where a probe may go. None of them is ever called.
 * NOP5 is the 5-byte nop that the kernel replaces by a call.
 */
#define NOP5 .byte 0x0f, 0x1f, 0x44, 0x00, 0x00

.macro begin name
	.globl \name
	.protected \name
	.type \name, @function
	.p2align 4
\name:
	.cfi_startproc
.endm

.macro end name
	.cfi_endproc
	.size \name, . - \name
.endm

	.text

/* The red zone. */
begin zone_nop5_first
	NOP5
	mov %rdi, -8(%rsp)
	mov -8(%rsp), %rax
	ret
end zone_nop5_first

begin zone_nop5_only
	NOP5
	syscall
	mov %rax, -16(%rsp)
	ret
end zone_nop5_only

begin zone_index
	NOP5
	syscall
	mov %rax, -72(%rsp,%rdi,8)
	ret
end zone_index

begin zone_frame
	push %rbp
	mov %rsp, %rbp
	mov %edi, -4(%rbp)
	.globl zone_frame_site
zone_frame_site:
	NOP5
	mov -4(%rbp), %eax
	pop %rbp
	ret
end zone_frame

begin zone_frame_reserved
	push %rbp
	mov %rsp, %rbp
	sub $16, %rsp
	mov %edi, -16(%rbp)
	.globl zone_frame_reserved_site
zone_frame_reserved_site:
	NOP5
	mov -16(%rbp), %eax
	leave
	ret
end zone_frame_reserved

begin zone_frame_beyond
	push %rbp
	mov %rsp, %rbp
	push %rbx
	mov %edi, -16(%rbp)
	.globl zone_frame_beyond_site
zone_frame_beyond_site:
	NOP5
	mov -16(%rbp), %eax
	pop %rbx
	pop %rbp
	ret
end zone_frame_beyond

begin zone_copied
	mov %rsp, %rdx
	mov %edi, -12(%rdx)
	.globl zone_copied_site
zone_copied_site:
	NOP5
	mov -12(%rdx), %eax
	ret
end zone_copied

begin zone_calls
	push %rbp
	mov %rsp, %rbp
	sub $16, %rsp
	mov %edi, -32(%rbp)
	.globl zone_calls_site
zone_calls_site:
	NOP5
	call entry_push
	leave
	ret
end zone_calls

/* The data lies in the hot part, the nop in the moved one. */
begin zone_moved
	mov %edi, -4(%rsp)
	test %edi, %edi
	je zone_moved.cold
zone_moved_back:
	mov -4(%rsp), %eax
	ret
end zone_moved

/* As before, with a frame of which the moved part shows nothing. */
begin zone_moved_frame
	push %rbp
	mov %rsp, %rbp
	mov %edi, -4(%rbp)
	test %edi, %edi
	je zone_moved_frame.cold
	mov -4(%rbp), %eax
	pop %rbp
	ret
end zone_moved_frame

/* Forms of the nop. */
begin nop5_plain
	NOP5
	ret
end nop5_plain

begin nop5_other
	.byte 0x66, 0x66, 0x66, 0x66, 0x90
	ret
end nop5_other

begin nop5_lea
	.byte 0x48, 0x8d, 0x74, 0x26, 0x00
	mov %rdi, -8(%rsp)
	ret
end nop5_lea

begin nop5_behind_endbr
	endbr64
	NOP5
	ret
end nop5_behind_endbr

	.p2align 12
	.skip 4096 - 3
	.globl nop5_across_pages
	.type nop5_across_pages, @function
nop5_across_pages:
	.cfi_startproc
	NOP5
	mov %rdi, -8(%rsp)
	ret
end nop5_across_pages

/* In a stripped file only the unwinding table knows it. */
	.type local_nop5, @function
	.p2align 4
local_nop5:
	.cfi_startproc
	NOP5
	ret
	.cfi_endproc
	.size local_nop5, . - local_nop5

/* Entries. */
begin entry_push
	push %rbx
	pop %rbx
	ret
end entry_push

begin entry_endbr
	endbr64
	push %r12
	pop %r12
	ret
end entry_endbr

begin entry_late
	sub $0x28, %rsp
	xor %eax, %eax
	push %r13
	pop %r13
	add $0x28, %rsp
	ret
end entry_late

begin entry_argument
	mov (%rdi), %edi
	push %rbx
	pop %rbx
	ret
end entry_argument

begin entry_vector_argument
	cvtsi2sd %eax, %xmm1
	push %rbx
	pop %rbx
	ret
end entry_vector_argument

begin entry_other_vector
	cvtsi2sd %eax, %xmm9
	push %rbx
	pop %rbx
	ret
end entry_other_vector

begin entry_branch
	xor %eax, %eax
	test %edi, %edi
	je 1f
	push %rbx
	pop %rbx
1:	ret
end entry_branch

begin entry_loop
	xor %eax, %eax
1:	push %rbx
	pop %rbx
	dec %edi
	jnz 1b
	ret
end entry_loop

begin entry_own_loop
	push %rbx
	pop %rbx
	dec %edi
	jnz entry_own_loop
	ret
end entry_own_loop

begin entry_align
	and $-32, %rsp
	push %rbx
	ud2
end entry_align

/* What the kernel gets wrong. Each is followed by a push that a probe could go to, or not. */
begin bad_syscall
	syscall
	push %rbx
	ud2
end bad_syscall

begin bad_syscall_later
	mov $39, %eax
	syscall
	ret
end bad_syscall_later

begin bad_pushf
	pushf
	pop %rax
	ret
end bad_pushf

begin bad_xchg
	xchg %rax, %r8
	ret
end bad_xchg

begin bad_vpor
	vpor %xmm9, %xmm8, %xmm8
	push %rbx
	pop %rbx
	ret
end bad_vpor

begin bad_vpor_only
	vpor %xmm1, %xmm0, %xmm0
	ret
end bad_vpor_only

begin bad_vmovdqu_store
	vmovdqu %xmm0, (%rdi)
	syscall
	ret
end bad_vmovdqu_store

begin bad_vpxor
	vpxor %xmm0, %xmm0, %xmm0
	ret
end bad_vpxor

begin bad_vfnmadd
	vfnmadd132ss %xmm1, %xmm0, %xmm0
	ret
end bad_vfnmadd

begin good_vpaddb
	vpaddb %xmm1, %xmm0, %xmm0
	ret
end good_vpaddb

begin good_por
	por %xmm1, %xmm0
	ret
end good_por

begin bad_prefix_nop
	.byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
	ret
end bad_prefix_nop

begin bad_lock
	lock incl (%rdi)
	syscall
	ret
end bad_lock

begin bad_notrack
	notrack jmp *%rax
end bad_notrack

begin bad_bytes
	.byte 0x06, 0x06, 0x06, 0x06
end bad_bytes

/* Ends. */
begin ends_two
	test %edi, %edi
	je 1f
	xor %eax, %eax
	ret
1:	sub $24, %rsp
	call entry_push
	add $24, %rsp
	repz ret
end ends_two

begin ends_tail
	test %edi, %edi
	je 1f
	jmp entry_push
1:	jmp *outside@GOTPCREL(%rip)
end ends_tail

begin ends_plt
	push %rbx
	pop %rbx
	jmp outside@PLT
end ends_plt

begin ends_framed_tail
	push %rbx
	jmp entry_push
end ends_framed_tail

begin ends_conditional_tail
	test %edi, %edi
	je entry_push
	ret
end ends_conditional_tail

begin ends_table
	cmp $3, %edi
	ja 9f
	lea table(%rip), %rdx
	mov %edi, %eax
	movslq (%rdx,%rax,4), %rax
	add %rdx, %rax
	notrack jmp *%rax
1:	mov $1, %eax
	ret
2:	mov $2, %eax
	ret
3:	mov $3, %eax
	ret
9:	xor %eax, %eax
	ret
	.section .rodata
	.p2align 2
table:
	.long 1b - table, 2b - table, 3b - table, 1b - table
	.text
end ends_table

/* As gcc writes a switch in a loop: the comparison is of memory, the table's address is set before. */
begin ends_table_memory
	push %rbx
	lea table_memory(%rip), %rbx
0:	cmpl $1, (%rdi)
	ja 9f
	mov (%rdi), %eax
	movslq (%rbx,%rax,4), %rax
	add %rbx, %rax
	jmp *%rax
1:	add $4, %rdi
	jmp 0b
2:	add $8, %rdi
	jmp 0b
9:	pop %rbx
	ret
	.section .rodata
	.p2align 2
table_memory:
	.long 1b - table_memory, 2b - table_memory
	.text
end ends_table_memory

/* What was compared is written before it is used. */
begin ends_table_changed
	lea table_changed(%rip), %rdx
	cmpl $1, (%rdi)
	ja 9f
	mov %esi, (%rdi)
	mov (%rdi), %eax
	movslq (%rdx,%rax,4), %rax
	add %rdx, %rax
	jmp *%rax
1:	nop
9:	ret
	.section .rodata
	.p2align 2
table_changed:
	.long 1b - table_changed, 9b - table_changed
	.text
end ends_table_changed

begin ends_unreached
	jmp 1f
	xor %eax, %eax
	ret
1:	ret
end ends_unreached

begin ends_table_unbounded
	lea table(%rip), %rdx
	mov %edi, %eax
	movslq (%rdx,%rax,4), %rax
	add %rdx, %rax
	jmp *%rax
	ret
end ends_table_unbounded

/* The bound is lost on one of the two ways to the table. */
begin ends_table_two_ways
	lea table_two(%rip), %rdx
	mov %esi, %eax
	test %esi, %esi
	je 1f
	cmp $1, %eax
	ja 9f
1:	movslq (%rdx,%rax,4), %rax
	add %rdx, %rax
	jmp *%rax
2:	nop
9:	ret
	.section .rodata
	.p2align 2
table_two:
	.long 2b - table_two, 9b - table_two
	.text
end ends_table_two_ways

begin ends_table_writable
	and $1, %edi
	lea table_writable(%rip), %rdx
	movslq (%rdx,%rdi,4), %rax
	add %rdx, %rax
	jmp *%rax
1:	ret
	.data
	.p2align 2
table_writable:
	.long 1b - table_writable, 1b - table_writable
	.text
end ends_table_writable

begin ends_pointer
	jmp *8(%rdi)
end ends_pointer

begin ends_pointer_loaded
	push %rbx
	mov (%rdi), %rax
	mov 16(%rax), %rdx
	pop %rbx
	jmp *%rdx
end ends_pointer_loaded

begin ends_pointer_framed
	push %rbx
	jmp *8(%rdi)
end ends_pointer_framed

begin ends_pointer_sum
	mov (%rdi), %rax
	add %rsi, %rax
	jmp *%rax
end ends_pointer_sum

/* Its label stands in data, so a pointer may lead to it. */
begin ends_pointer_data
	jmp *(%rdi)
1:	xor %eax, %eax
	ret
	.section .data.rel.ro, "aw", @progbits
	.p2align 3
	.quad 1b
	.text
end ends_pointer_data

begin ends_pointer_label
	lea 1f(%rip), %rax
	mov %rax, (%rdi)
	jmp *(%rdi)
1:	xor %eax, %eax
	ret
end ends_pointer_label

begin ends_moved
	push %rbx
	test %edi, %edi
	je ends_moved.cold
1:	pop %rbx
	ret
end ends_moved

begin ends_never
	sub $8, %rsp
	call outside@PLT
end ends_never

begin ends_falls
	xor %eax, %eax
end ends_falls

begin ends_unbalanced
	push %rdi
	ret
end ends_unbalanced

begin ends_lock
	cmpl $0, %fs:0x18
	je 1f + 1
1:	lock decl (%rdi)
	ret
end ends_lock

/* Whoever unwinds through this lands at 2, which no jump leads to. */
begin ends_landing
	.cfi_lsda 0x1b, landing
	push %rbx
0:	call outside@PLT
1:	pop %rbx
	ret
2:	mov %eax, %edx
	pop %rbx
	ret
	.section .gcc_except_table, "a", @progbits
	.p2align 2
landing:
	.byte 0xff, 0xff, 0x01	/* pads from the function's start; no types; call sites in uleb128 */
	.uleb128 4f - 3f
3:	.uleb128 0b - ends_landing
	.uleb128 1b - 0b
	.uleb128 2b - ends_landing
	.uleb128 0
4:
	.text
end ends_landing

/* Parts that the compiler would have moved away. */
	.section .text.unlikely, "ax", @progbits
	.type ends_moved.cold, @function
ends_moved.cold:
	.cfi_startproc
	.cfi_def_cfa_offset 16
	test %esi, %esi
	je 1f
	pop %rbx
	ret
1:	call outside@PLT
end ends_moved.cold

	.type zone_moved.cold, @function
zone_moved.cold:
	.cfi_startproc
	.globl zone_moved_site
zone_moved_site:
	NOP5
	jmp zone_moved_back
end zone_moved.cold

	.type zone_moved_frame.cold, @function
zone_moved_frame.cold:
	.cfi_startproc
	.cfi_def_cfa_offset 16
	.globl zone_moved_frame_site
zone_moved_frame_site:
	NOP5
	xor %eax, %eax
	pop %rbp
	ret
end zone_moved_frame.cold

/* A label without type or size, its end known from the unwinding table only. */
	.text
	.globl label_only
	.p2align 4
label_only:
	.cfi_startproc
	push %rbx
	pop %rbx
	ret
	.cfi_endproc

	.globl sized_zero
	.type sized_zero, @function
	.p2align 4
sized_zero:
	.cfi_startproc
	push %rbx
	nop
	pop %rbx
	ret
	.cfi_endproc
	.size sized_zero, 0

	.globl chosen
	.type chosen, @gnu_indirect_function
chosen:
	lea entry_push(%rip), %rax
	ret
	.size chosen, . - chosen
	.section .note.GNU-stack, "", @progbits
