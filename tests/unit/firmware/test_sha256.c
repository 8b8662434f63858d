/* SHA-256 against the examples of FIPS 180-4 (csrc.nist.gov, "SHA256.pdf" and
 * "SHA2_Additional.pdf"). */
#include "mock_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../firmware/common/sha256.h"

static void assert_digest(const void* data, size_t bytes, const char* hex) {
    uint8_t digest[SHA256_DIGEST_BYTES];
    char text[2 * SHA256_DIGEST_BYTES + 1];
    sha256_of(data, bytes, digest);
    for (unsigned i = 0; i < sizeof(digest); ++i)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

static void test_examples(void** state) {
    (void)state;
    assert_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                  112, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

/* Additional examples: lengths around the padding's edges, of zero bytes or one value. */
static void test_edges(void** state) {
    (void)state;
    uint8_t zeros[1000] = {0};
    const uint8_t bd = 0xbd;
    const uint8_t word[4] = {0xc9, 0x8c, 0x8e, 0x55};
    assert_digest(&bd, 1, "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b");
    assert_digest(word, 4, "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504");
    assert_digest(zeros, 55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7");
    assert_digest(zeros, 56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb");
    assert_digest(zeros, 57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785");
    assert_digest(zeros, 64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
    assert_digest(zeros, 1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53");
    memset(zeros, 0x41, sizeof(zeros));
    assert_digest(zeros, 1000, "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4");
}

static void test_million(void** state) {
    (void)state;
    char* text = malloc(1000000);
    assert_non_null(text);
    memset(text, 'a', 1000000);
    assert_digest(text, 1000000,
                  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(text);
}

/* Any split of the data into updates gives the same digest. */
static void test_split(void** state) {
    (void)state;
    uint8_t data[200];
    uint8_t whole[SHA256_DIGEST_BYTES];
    for (unsigned i = 0; i < sizeof(data); ++i)
        data[i] = (uint8_t)(i * 7);
    sha256_of(data, sizeof(data), whole);
    for (unsigned first = 0; first <= sizeof(data); ++first) {
        struct sha256 hash;
        uint8_t digest[SHA256_DIGEST_BYTES];
        sha256_init(&hash);
        sha256_update(&hash, data, first);
        sha256_update(&hash, data + first, sizeof(data) - first);
        sha256_final(&hash, digest);
        assert_memory_equal(digest, whole, sizeof(whole));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_million),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
