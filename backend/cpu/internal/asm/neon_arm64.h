// The float32 instructions on four lanes that Go's assembler lacks. Operands
// are register numbers, with the destination last, as in the assembler's other
// instructions: FSUB4(m, n, d) is Vd = Vn − Vm.

#define FADD4(m, n, d) WORD $(0x4E20D400 | (m)<<16 | (n)<<5 | (d))  // fadd   vd.4s, vn.4s, vm.4s
#define FSUB4(m, n, d) WORD $(0x4EA0D400 | (m)<<16 | (n)<<5 | (d))  // fsub   vd.4s, vn.4s, vm.4s
#define FMUL4(m, n, d) WORD $(0x6E20DC00 | (m)<<16 | (n)<<5 | (d))  // fmul   vd.4s, vn.4s, vm.4s
#define FDIV4(m, n, d) WORD $(0x6E20FC00 | (m)<<16 | (n)<<5 | (d))  // fdiv   vd.4s, vn.4s, vm.4s
#define FMAX4(m, n, d) WORD $(0x4E20F400 | (m)<<16 | (n)<<5 | (d))  // fmax   vd.4s, vn.4s, vm.4s
#define FMIN4(m, n, d) WORD $(0x4EA0F400 | (m)<<16 | (n)<<5 | (d))  // fmin   vd.4s, vn.4s, vm.4s
#define FCMGT4(m, n, d) WORD $(0x6EA0E400 | (m)<<16 | (n)<<5 | (d)) // fcmgt  vd.4s, vn.4s, vm.4s
#define FADDP4(m, n, d) WORD $(0x6E20D400 | (m)<<16 | (n)<<5 | (d)) // faddp  vd.4s, vn.4s, vm.4s
#define FSQRT4(n, d) WORD $(0x6EA1F800 | (n)<<5 | (d))              // fsqrt  vd.4s, vn.4s
#define FNEG4(n, d) WORD $(0x6EA0F800 | (n)<<5 | (d))               // fneg   vd.4s, vn.4s
#define FRINTN4(n, d) WORD $(0x4E218800 | (n)<<5 | (d))             // frintn vd.4s, vn.4s
#define FCVTNS4(n, d) WORD $(0x4E21A800 | (n)<<5 | (d))             // fcvtns vd.4s, vn.4s
#define SSHR4(n, d) WORD $(0x4F3F0400 | (n)<<5 | (d))               // sshr   vd.4s, vn.4s, #1
#define FMAXV4(n, d) WORD $(0x6E30F800 | (n)<<5 | (d))              // fmaxv  sd, vn.4s

// FMLA4 and FMLAE4 add Vn times Vm, or Vn times the first lane of Vm, to Vd.
#define FMLA4(m, n, d) WORD $(0x4E20CC00 | (m)<<16 | (n)<<5 | (d))  // fmla   vd.4s, vn.4s, vm.4s
#define FMLAE4(m, n, d) WORD $(0x4F801000 | (m)<<16 | (n)<<5 | (d)) // fmla   vd.4s, vn.4s, vm.s[0]
