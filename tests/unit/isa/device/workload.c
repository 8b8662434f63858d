/* Ordinary C of many kinds: what matters is that stock compilers' output runs right, scalar and
   auto-vectorised. No function depends on the machine, on evaluation order or on fused arithmetic.
 */
#include "workload.h"

static uint64_t state;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    return hash;
}

static uint64_t bits_of(double value) {
    union {
        double d;
        uint64_t u;
    } pun = {value};
    return pun.u;
}

static uint64_t crc32(const uint8_t* data, unsigned n) {
    uint32_t crc = ~0u;
    for (unsigned i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void sort(int32_t* a, int n) {
    if (n < 2)
        return;
    const int32_t pivot = a[n / 2];
    int i = 0, j = n - 1;
    while (i <= j) {
        while (a[i] < pivot)
            i++;
        while (a[j] > pivot)
            j--;
        if (i <= j) {
            const int32_t t = a[i];
            a[i++] = a[j];
            a[j--] = t;
        }
    }
    sort(a, j + 1);
    sort(a + i, n - i);
}

static uint8_t bytes[1024];
static int32_t words[512];
static int16_t shorts[777];
static float fa[300], fb[300], fc[300];
static double da[17][19], db[19][23], dc[17][23];
static int64_t longs[129];

static uint64_t integers(void) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < 777; i++)
        shorts[i] = (int16_t)next();
    int64_t sum = 0;
    int32_t low = 0, high = 0;
    for (unsigned i = 0; i < 777; i++) {
        sum += shorts[i] * 3;
        low = shorts[i] < low ? shorts[i] : low;
        high = shorts[i] > high ? shorts[i] : high;
    }
    hash = mix(hash, (uint64_t)sum);
    hash = mix(hash, (uint64_t)(int64_t)low);
    hash = mix(hash, (uint64_t)(int64_t)high);
    for (unsigned i = 0; i < 129; i++)
        longs[i] = (int64_t)next();
    for (unsigned i = 0; i < 129; i++) {
        const uint64_t divisor = next();
        const int64_t d = (int64_t)(divisor >> (next() & 63)) | 1;
        longs[i] = longs[i] / d + longs[i] % d;
        hash = mix(hash, (uint64_t)longs[i]);
        hash = mix(hash, (uint64_t)(((__uint128_t)(uint64_t)longs[i] * (uint64_t)d) >> 64));
        hash = mix(hash, (uint32_t)longs[i] / (uint32_t)d);
    }
    return hash;
}

static uint64_t saturating(void) {
    /* Clamped conversions as quantisers do. */
    uint64_t hash = 0;
    for (unsigned i = 0; i < 1024; i++) {
        const int32_t v = (int32_t)(next() >> 40) - (1 << 23);
        const int32_t q = v / 977;
        bytes[i] = (uint8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
    }
    for (unsigned i = 0; i < 1024; i++)
        hash = mix(hash, bytes[i]);
    return hash;
}

static uint64_t floats(void) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < 300; i++) {
        fa[i] = (float)(int32_t)next() / 1048576.0f;
        fb[i] = (float)(int16_t)next() / 77.0f;
    }
    for (unsigned i = 0; i < 300; i++)
        fc[i] = fa[i] * fb[i] + fa[i];
    for (unsigned i = 0; i < 300; i++)
        fc[i] = fc[i] > 0 ? fc[i] / (1.0f + fa[i] * fa[i]) : -fc[i];
    float ordered = 0;
    for (unsigned i = 0; i < 300; i++)
        ordered += fc[i];
    hash = mix(hash, bits_of(ordered));
    for (unsigned i = 0; i < 300; i++) {
        hash = mix(hash, bits_of(fc[i]));
        hash = mix(hash, (uint64_t)(int64_t)fa[i]);
        hash = mix(hash, bits_of(__builtin_sqrtf(fc[i] < 0 ? -fc[i] : fc[i])));
    }
    return hash;
}

static uint64_t doubles(void) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < 17; i++)
        for (unsigned k = 0; k < 19; k++)
            da[i][k] = (double)(int64_t)next() * 0x1p-40;
    for (unsigned k = 0; k < 19; k++)
        for (unsigned j = 0; j < 23; j++)
            db[k][j] = (double)(uint32_t)next() * 0x1p-20;
    for (unsigned i = 0; i < 17; i++)
        for (unsigned j = 0; j < 23; j++) {
            double sum = 0;
            for (unsigned k = 0; k < 19; k++)
                sum += da[i][k] * db[k][j];
            dc[i][j] = sum;
        }
    for (unsigned i = 0; i < 17; i++)
        for (unsigned j = 0; j < 23; j++)
            hash = mix(hash, bits_of(dc[i][j]));
    return hash;
}

static uint64_t strided(void) {
    /* Transposes and gathers: strided and indexed accesses when vectorised. */
    static uint32_t in[40][24], out[24][40];
    uint64_t hash = 0;
    for (unsigned i = 0; i < 40; i++)
        for (unsigned j = 0; j < 24; j++)
            in[i][j] = (uint32_t)next();
    for (unsigned j = 0; j < 24; j++)
        for (unsigned i = 0; i < 40; i++)
            out[j][i] = in[i][j] ^ in[(i * 7 + j) % 40][(j * 5) % 24];
    for (unsigned j = 0; j < 24; j++)
        for (unsigned i = 0; i < 40; i++)
            hash = mix(hash, out[j][i]);
    struct rgb {
        uint8_t r, g, b;
    };
    static struct rgb pixels[333];
    for (unsigned i = 0; i < 333; i++) {
        const uint64_t colour = next();
        pixels[i] = (struct rgb){(uint8_t)colour, (uint8_t)(colour >> 8), (uint8_t)(colour >> 16)};
    }
    uint32_t r = 0, g = 0, b = 0;
    for (unsigned i = 0; i < 333; i++) {
        r += pixels[i].r;
        g += pixels[i].g;
        b += pixels[i].b;
    }
    return mix(mix(mix(hash, r), g), b);
}

unsigned compute(struct workload_results* results, unsigned rounds) {
    state = 0x123456789abcdefu;
    unsigned n = 0;
    for (unsigned round = 0; round < rounds; round++) {
        n = 0;
        results->value[n++] = integers();
        results->value[n++] = saturating();
        results->value[n++] = crc32(bytes, sizeof bytes);
        for (unsigned i = 0; i < 512; i++)
            words[i] = (int32_t)next();
        sort(words, 512);
        uint64_t hash = 0;
        for (unsigned i = 0; i < 512; i++)
            hash = mix(hash, (uint32_t)words[i]);
        results->value[n++] = hash;
        results->value[n++] = floats();
        results->value[n++] = doubles();
        results->value[n++] = strided();
    }
    return n;
}
