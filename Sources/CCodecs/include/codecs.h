// One-shot decompression of the streams that Linux packs its kernel in, and SHA-256. Every function reads at most
// `input_count` and writes at most `output_count` bytes; on failure too, `produced` bytes of `output` are valid.
#ifndef CCODECS_H
#define CCODECS_H

#include <stddef.h>
#include <stdint.h>

enum codec_status {
  CODEC_OK,
  CODEC_TRUNCATED,    // the input ends inside the stream
  CODEC_CORRUPT,      // the input is no valid stream
  CODEC_OVERFLOW,     // the stream holds more than output_count bytes
  CODEC_NO_MEMORY,    // the library wants more memory than there is, or than it may have
  CODEC_UNSUPPORTED,  // valid, but in a form that the library does not decode
};

struct codec_result {
  enum codec_status status;
  size_t produced;
};

struct codec_result codec_gzip(const void *input, size_t input_count, void *output, size_t output_count);
struct codec_result codec_bzip2(const void *input, size_t input_count, void *output, size_t output_count);
struct codec_result codec_lzma(const void *input, size_t input_count, void *output, size_t output_count);
struct codec_result codec_xz(const void *input, size_t input_count, void *output, size_t output_count);
// LZ4 in its legacy frame (lz4 -l), the one that the kernel uses.
struct codec_result codec_lz4(const void *input, size_t input_count, void *output, size_t output_count);
struct codec_result codec_zstd(const void *input, size_t input_count, void *output, size_t output_count);

// SHA-256 (FIPS 180-4), with the CPU's SHA extensions where it has them.
struct codec_sha256 {
  uint32_t state[8];
  uint64_t count;
  uint8_t block[64];
};
void codec_sha256_init(struct codec_sha256 *hash);
void codec_sha256_update(struct codec_sha256 *hash, const void *bytes, size_t count);
void codec_sha256_final(struct codec_sha256 *hash, uint8_t digest[32]);
// The same without the CPU's extensions, for tests on machines that have them.
void codec_sha256_use_extensions(int allowed);

#endif
