// SHA-256 as FIPS 180-4 describes it: section 4.1.2 (functions), 4.2.2 (constants), 5.1.1 (padding), 6.2.2 (rounds).
#include <string.h>

#include "codecs.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void blocks_portable(uint32_t state[8], const uint8_t *bytes, size_t count) {
  for (; count; count--, bytes += 64) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
      w[t] = (uint32_t)bytes[4 * t] << 24 | (uint32_t)bytes[4 * t + 1] << 16 | (uint32_t)bytes[4 * t + 2] << 8 | bytes[4 * t + 3];
    for (int t = 16; t < 64; t++) {
      uint32_t x = w[t - 15], y = w[t - 2];
      w[t] = w[t - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[t - 7] + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
      uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + constants[t] + w[t];
      uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
}

#if defined(__x86_64__)
// The instructions keep the working variables as ABEF and CDGH (Intel SDM volume 2, SHA256RNDS2).
__attribute__((target("sha,sse4.1"))) static void blocks_extensions(uint32_t state[8], const uint8_t *bytes, size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
  __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
  for (; count; count--, bytes += 64) {
    __m128i abef_before = abef, cdgh_before = cdgh, w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(bytes + 16 * i)), swap);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) {
      __m128i now = w[i & 3];
      __m128i sum = _mm_add_epi32(now, _mm_load_si128((const __m128i *)&constants[4 * i]));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      if (i < 12) {
        // The schedule four words ahead: W[t-16] + s0(W[t-15]) + W[t-7] + s1(W[t-2]).
        __m128i next = w[(i + 1) & 3], third = w[(i + 2) & 3], last = w[(i + 3) & 3];
        __m128i head = _mm_add_epi32(_mm_sha256msg1_epu32(now, next), _mm_alignr_epi8(last, third, 4));
        w[i & 3] = _mm_sha256msg2_epu32(head, last);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  state[0] = (uint32_t)_mm_extract_epi32(abef, 3), state[1] = (uint32_t)_mm_extract_epi32(abef, 2);
  state[4] = (uint32_t)_mm_extract_epi32(abef, 1), state[5] = (uint32_t)_mm_extract_epi32(abef, 0);
  state[2] = (uint32_t)_mm_extract_epi32(cdgh, 3), state[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
  state[6] = (uint32_t)_mm_extract_epi32(cdgh, 1), state[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}

// 0 unknown, 1 no, 2 yes. Threads that find out at once all store the same answer.
static int extensions;

static int has_extensions(void) {
  int known = __atomic_load_n(&extensions, __ATOMIC_RELAXED);
  if (!known) {
    unsigned a, b, c, d;
    // CPUID.7.0:EBX bit 29 SHA; CPUID.1:ECX bit 9 SSSE3, bit 19 SSE4.1.
    int sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
    int sse = __get_cpuid(1, &a, &b, &c, &d) && c >> 9 & 1 && c >> 19 & 1;
    known = sha && sse ? 2 : 1;
    __atomic_store_n(&extensions, known, __ATOMIC_RELAXED);
  }
  return known == 2;
}
#endif

void codec_sha256_use_extensions(int allowed) {
#if defined(__x86_64__)
  __atomic_store_n(&extensions, allowed ? 0 : 1, __ATOMIC_RELAXED);
#endif
}

static void blocks(uint32_t state[8], const uint8_t *bytes, size_t count) {
#if defined(__x86_64__)
  if (has_extensions()) {
    blocks_extensions(state, bytes, count);
    return;
  }
#endif
  blocks_portable(state, bytes, count);
}

void codec_sha256_init(struct codec_sha256 *hash) {
  static const uint32_t initial[8] = {
      0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(hash->state, initial, sizeof initial);
  hash->count = 0;
}

void codec_sha256_update(struct codec_sha256 *hash, const void *input, size_t count) {
  const uint8_t *bytes = input;
  size_t held = hash->count & 63;
  hash->count += count;
  if (held) {
    size_t part = 64 - held < count ? 64 - held : count;
    memcpy(hash->block + held, bytes, part);
    bytes += part, count -= part;
    if (held + part < 64) return;
    blocks(hash->state, hash->block, 1);
  }
  blocks(hash->state, bytes, count / 64);
  if (count & 63) memcpy(hash->block, bytes + (count & ~(size_t)63), count & 63);
}

void codec_sha256_final(struct codec_sha256 *hash, uint8_t digest[32]) {
  uint64_t bits = hash->count * 8;
  size_t held = hash->count & 63;
  hash->block[held++] = 0x80;
  if (held > 56) {
    memset(hash->block + held, 0, 64 - held);
    blocks(hash->state, hash->block, 1);
    held = 0;
  }
  memset(hash->block + held, 0, 56 - held);
  for (int i = 0; i < 8; i++) hash->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
  blocks(hash->state, hash->block, 1);
  for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}
