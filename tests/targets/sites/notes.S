/* SPDX-License-Identifier: MIT */
/*
 * USDT notes by hand, for forms that <sys/sdt.h> writes seldom or a compiler never chooses here.
 * MOVED is by how much the notes differ from where the code lies, as after prelinking.
 */
#define MOVED 0x1000

.macro note name, location, semaphore, args
	.pushsection .note.stapsdt, "", @note
	.balign 4
	.4byte 992f - 991f, 994f - 993f, 3
991:	.asciz "stapsdt"
992:	.balign 4
993:	.8byte \location - MOVED
	.8byte _.stapsdt.base - MOVED
	.8byte \semaphore
	.asciz "hand"
	.asciz "\name"
	.asciz "\args"
994:	.balign 4
	.popsection
.endm

	.text
	.globl hand_sites
	.type hand_sites, @function
hand_sites:
	.cfi_startproc
	sub $8, %rsp
	.globl hand_plain, hand_counted, hand_nop5, hand_not_nop
hand_plain:
	nop
hand_counted:
	nop
hand_nop5:
	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
hand_not_nop:
	xor %eax, %eax
	add $8, %rsp
	ret
	.cfi_endproc
	.size hand_sites, . - hand_sites

	.globl hand_zone
	.type hand_zone, @function
hand_zone:
	.cfi_startproc
	mov %edi, -4(%rsp)
hand_zone_nop5:
	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00
	mov -4(%rsp), %eax
	ret
	.cfi_endproc
	.size hand_zone, . - hand_zone

	note plain, hand_plain, 0, "-4@%edi 8@-8(%rbp) 8@$-12 1@%al 2@4(%r12) 8@(%rax,%rbx,8)"
	note plain, hand_nop5, 0, "8@%r15"
	note counted, hand_counted, (hand_semaphore - MOVED), ""
	note nop5, hand_nop5, 0, "4@counter(%rip) 8f@%xmm0"
	note not_nop, hand_not_nop, 0, ""
	note zone, hand_zone_nop5, 0, ""

	.section .probes, "aw", @progbits
	.balign 2
	.globl hand_semaphore
hand_semaphore:
	.2byte 0

	.section .stapsdt.base, "aG", @progbits, .stapsdt.base, comdat
	.weak _.stapsdt.base
	.hidden _.stapsdt.base
_.stapsdt.base:
	.space 1
	.size _.stapsdt.base, 1
	.section .note.GNU-stack, "", @progbits
