/* Quicksort, heapsort and a merge of 4096 integers. */
#include "program.h"

enum { COUNT = 4096, ROUNDS = 90 };

static int32_t a[COUNT], b[COUNT], merged[2 * COUNT];

static void quicksort(int32_t* v, int n) {
    while (n > 12) {
        const int32_t pivot = v[n / 2];
        int i = 0, j = n - 1;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                const int32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        quicksort(v, j + 1);
        v += i;
        n -= i;
    }
    for (int i = 1; i < n; i++) {
        const int32_t t = v[i];
        int j = i;
        for (; j > 0 && v[j - 1] > t; j--)
            v[j] = v[j - 1];
        v[j] = t;
    }
}

static void sift(int32_t* v, int root, int n) {
    const int32_t t = v[root];
    for (int child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && v[child + 1] > v[child])
            child++;
        if (v[child] <= t)
            break;
        v[root] = v[child];
    }
    v[root] = t;
}

static void heapsort(int32_t* v, int n) {
    for (int i = n / 2; i-- > 0;)
        sift(v, i, n);
    for (int i = n; --i > 0;) {
        const int32_t t = v[0];
        v[0] = v[i];
        v[i] = t;
        sift(v, 0, i);
    }
}

uint64_t work(void) {
    uint64_t state = 0x123456789abcdefu, hash = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            a[i] = (int32_t)next_random(&state);
            b[i] = (int32_t)next_random(&state);
        }
        quicksort(a, COUNT);
        heapsort(b, COUNT);
        for (unsigned i = 0, j = 0, k = 0; k < 2 * COUNT; k++)
            merged[k] = j == COUNT || (i < COUNT && a[i] <= b[j]) ? a[i++] : b[j++];
        for (unsigned k = 0; k < 2 * COUNT; k++)
            hash = hash * 31 + (uint32_t)merged[k];
    }
    return hash;
}
