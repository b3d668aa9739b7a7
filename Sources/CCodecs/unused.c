// Parts of the static libraries that nothing here calls, but that their decompressors name: zstd's formats before 0.8 and
// bzip2's compressor. A weak definition keeps the linker from taking a member out of the archive for the name, which saves
// about 115 KiB. Each answers as the library does for what it cannot do, because a hostile stream does reach the old formats: a
// frame of one of them may follow a good frame.
#include <stddef.h>
#include <zstd.h>
#include <zstd_errors.h>

#define WEAK __attribute__((weak))
#define FAILURE ((size_t)-ZSTD_error_version_unsupported)

#define OLD_FORMAT(version)                                                                                    \
  WEAK void *ZSTDv##version##_createDCtx(void) { return NULL; }                                                \
  WEAK size_t ZSTDv##version##_freeDCtx(void *context) { return (void)context, (size_t)0; }                    \
  WEAK size_t ZSTDv##version##_decompress_usingDict(void) { return FAILURE; }                                  \
  WEAK size_t ZSTDv##version##_getFrameParams(void) { return FAILURE; }                                        \
  WEAK void ZSTDv##version##_findFrameSizeInfoLegacy(                                                          \
      const void *input, size_t count, size_t *compressed_size, unsigned long long *bound) {                   \
    (void)input, (void)count, *compressed_size = FAILURE, *bound = ZSTD_CONTENTSIZE_ERROR;                     \
  }                                                                                                            \
  WEAK void *ZBUFFv##version##_createDCtx(void) { return NULL; }                                               \
  WEAK size_t ZBUFFv##version##_freeDCtx(void *context) { return (void)context, (size_t)0; }                   \
  WEAK size_t ZBUFFv##version##_decompressInitDictionary(void) { return FAILURE; }                             \
  WEAK size_t ZBUFFv##version##_decompressContinue(void) { return FAILURE; }

OLD_FORMAT(05)
OLD_FORMAT(06)
OLD_FORMAT(07)

// Called only while compressing.
WEAK void BZ2_compressBlock(void) {}
