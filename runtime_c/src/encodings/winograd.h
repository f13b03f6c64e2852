/* The transforms of F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3) (FORMAT.md 3.8; Lavin and Gray, arXiv 1509.09308):
 * Y = A^T [(G g G^T) * (B^T d B)] A. */
#ifndef CMF_ENCODINGS_WINOGRAD_H
#define CMF_ENCODINGS_WINOGRAD_H

extern const float cmf_winograd_g2[4][3];   /* G */
extern const float cmf_winograd_bt2[4][4];  /* B^T */
extern const float cmf_winograd_at2[2][4];  /* A^T */
extern const float cmf_winograd_g4[6][3];
extern const float cmf_winograd_bt4[6][6];
extern const float cmf_winograd_at4[4][6];

#endif
