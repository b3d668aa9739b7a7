#include "codecs.h"

#include <bzlib.h>
#include <limits.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

static struct codec_result result(enum codec_status status, size_t produced) {
  return (struct codec_result){status, produced};
}

// Streams count their input and output in unsigned int; kernels are smaller than that by the caller's bound, but the
// chunks keep the functions right for any size.
static unsigned chunk(size_t count) { return count > (1u << 30) ? 1u << 30 : (unsigned)count; }

struct codec_result codec_gzip(const void *input, size_t input_count, void *output, size_t output_count) {
  z_stream stream;
  memset(&stream, 0, sizeof stream);
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return result(CODEC_NO_MEMORY, 0);
  size_t taken = 0, produced = 0;
  enum codec_status status;
  for (;;) {
    unsigned in = chunk(input_count - taken), out = chunk(output_count - produced);
    stream.next_in = (Bytef *)input + taken;
    stream.avail_in = in;
    stream.next_out = (Bytef *)output + produced;
    stream.avail_out = out;
    int code = inflate(&stream, Z_NO_FLUSH);
    taken += in - stream.avail_in;
    produced += out - stream.avail_out;
    if (code == Z_STREAM_END) { status = CODEC_OK; break; }
    if (code == Z_MEM_ERROR) { status = CODEC_NO_MEMORY; break; }
    if (code != Z_OK && code != Z_BUF_ERROR) { status = CODEC_CORRUPT; break; }
    // No room first: a stream that just fits ends without asking for more.
    if (code == Z_BUF_ERROR || (in == stream.avail_in && out == stream.avail_out)) {
      status = produced == output_count && taken < input_count ? CODEC_OVERFLOW : CODEC_TRUNCATED;
      break;
    }
  }
  inflateEnd(&stream);
  return result(status, produced);
}

struct codec_result codec_bzip2(const void *input, size_t input_count, void *output, size_t output_count) {
  bz_stream stream;
  memset(&stream, 0, sizeof stream);
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return result(CODEC_NO_MEMORY, 0);
  size_t taken = 0, produced = 0;
  enum codec_status status;
  for (;;) {
    unsigned in = chunk(input_count - taken), out = chunk(output_count - produced);
    stream.next_in = (char *)input + taken;
    stream.avail_in = in;
    stream.next_out = (char *)output + produced;
    stream.avail_out = out;
    int code = BZ2_bzDecompress(&stream);
    size_t moved = (in - stream.avail_in) + (size_t)(out - stream.avail_out);
    taken += in - stream.avail_in;
    produced += out - stream.avail_out;
    if (code == BZ_STREAM_END) { status = CODEC_OK; break; }
    if (code == BZ_MEM_ERROR) { status = CODEC_NO_MEMORY; break; }
    if (code != BZ_OK) { status = CODEC_CORRUPT; break; }
    if (moved == 0) {
      status = produced == output_count && taken < input_count ? CODEC_OVERFLOW : CODEC_TRUNCATED;
      break;
    }
  }
  BZ2_bzDecompressEnd(&stream);
  return result(status, produced);
}

// A dictionary never needs to be larger than the largest kernel; untouched parts of it cost nothing.
enum { DICTIONARY_LIMIT = 1 << 30 };
#define LZMA_MEMORY_LIMIT ((uint64_t)DICTIONARY_LIMIT + (64u << 20))

static struct codec_result run_lzma(
    lzma_stream *stream, const void *input, size_t input_count, void *output, size_t output_count) {
  stream->next_in = input;
  stream->avail_in = input_count;
  stream->next_out = output;
  stream->avail_out = output_count;
  lzma_ret code;
  do code = lzma_code(stream, LZMA_FINISH);
  while (code == LZMA_OK);
  size_t produced = output_count - stream->avail_out;
  enum codec_status status;
  switch (code) {
    case LZMA_STREAM_END: status = CODEC_OK; break;
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR: status = CODEC_NO_MEMORY; break;
    case LZMA_OPTIONS_ERROR: status = CODEC_UNSUPPORTED; break;
    case LZMA_BUF_ERROR: status = stream->avail_out == 0 && stream->avail_in > 0 ? CODEC_OVERFLOW : CODEC_TRUNCATED; break;
    default: status = CODEC_CORRUPT; break;
  }
  lzma_end(stream);
  return result(status, produced);
}

struct codec_result codec_lzma(const void *input, size_t input_count, void *output, size_t output_count) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_alone_decoder(&stream, LZMA_MEMORY_LIMIT) != LZMA_OK) return result(CODEC_NO_MEMORY, 0);
  return run_lzma(&stream, input, input_count, output, output_count);
}

struct codec_result codec_xz(const void *input, size_t input_count, void *output, size_t output_count) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, LZMA_MEMORY_LIMIT, 0) != LZMA_OK) return result(CODEC_NO_MEMORY, 0);
  return run_lzma(&stream, input, input_count, output, output_count);
}

static uint32_t little32(const uint8_t *bytes) {
  return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

struct codec_result codec_lz4(const void *input, size_t input_count, void *output, size_t output_count) {
  enum { MAGIC = 0x184C2102, BLOCK = 8 << 20 };  // lz4_Frame_format.md, "Legacy frame"
  const uint8_t *bytes = input;
  if (input_count < 4) return result(CODEC_TRUNCATED, 0);
  if (little32(bytes) != MAGIC) return result(CODEC_UNSUPPORTED, 0);
  size_t taken = 4, produced = 0;
  while (taken < input_count) {
    if (input_count - taken < 4) return result(CODEC_TRUNCATED, produced);
    uint32_t size = little32(bytes + taken);
    taken += 4;
    if (size == MAGIC) continue;  // another frame follows
    if (size == 0 || size > (uint32_t)LZ4_compressBound(BLOCK)) return result(CODEC_CORRUPT, produced);
    if (size > input_count - taken) return result(CODEC_TRUNCATED, produced);
    size_t room = output_count - produced;
    int limit = room < BLOCK ? (int)room : BLOCK;
    int count = LZ4_decompress_safe((const char *)bytes + taken, (char *)output + produced, (int)size, limit);
    if (count < 0) {
      // The library does not tell damage from lack of room; a block that decodes in part is one that did not fit.
      if (limit == BLOCK) return result(CODEC_CORRUPT, produced);
      int part = LZ4_decompress_safe_partial(
          (const char *)bytes + taken, (char *)output + produced, (int)size, limit, limit);
      if (part != limit) return result(CODEC_CORRUPT, produced);
      return result(CODEC_OVERFLOW, output_count);
    }
    produced += (size_t)count;
    taken += size;
  }
  return result(CODEC_OK, produced);
}

struct codec_result codec_zstd(const void *input, size_t input_count, void *output, size_t output_count) {
  ZSTD_DCtx *context = ZSTD_createDCtx();
  if (!context) return result(CODEC_NO_MEMORY, 0);
  // In one shot the output is the window: no other buffer, whatever window the frame asks for.
  size_t count = ZSTD_decompressDCtx(context, output, output_count, input, input_count);
  ZSTD_freeDCtx(context);
  if (!ZSTD_isError(count)) return result(CODEC_OK, count);
  switch (ZSTD_getErrorCode(count)) {
    case ZSTD_error_dstSize_tooSmall: return result(CODEC_OVERFLOW, 0);
    case ZSTD_error_srcSize_wrong: return result(CODEC_TRUNCATED, 0);
    case ZSTD_error_memory_allocation: return result(CODEC_NO_MEMORY, 0);
    case ZSTD_error_frameParameter_unsupported:
    case ZSTD_error_version_unsupported: return result(CODEC_UNSUPPORTED, 0);
    default: return result(CODEC_CORRUPT, 0);
  }
}
