// The element-wise core of rounding in one launch each, for NVRTC. Written in what C++ and CUDA have in common: a host compiler makes
// the same functions of it, which is how tests run them. A row, or a group, belongs to the LANES threads of one warp: column i to lane
// i % LANES, which keeps it in register i / LANES; a host has one lane. Products and sums are not contracted, as the operations that
// these take the place of have it.

#ifndef LANES
#define LANES 32
#endif
#define MOST_COLUMNS 128
#define SLOTS (MOST_COLUMNS / LANES)
#define WARP 0xffffffffu

static __device__ long long piece()
{
    return ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
}

static __device__ int lane_of()
{
    return threadIdx.x % LANES;
}

static __device__ float total(float value)
{
    for (int other = LANES / 2; other > 0; other /= 2)
        value += __shfl_xor_sync(WARP, value, other);
    return value;
}

// To float16 and back, half to even, kept away from 0 and infinity: a group's scale as the file stores it.
static __device__ float storable(float value)
{
    unsigned int bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
    float rounded;
    if (magnitude >= 0x47800000u) // 65536 and more, or no number
        rounded = 65504.0f;
    else if (magnitude < 0x38800000u) // subnormal in float16: multiples of 2^-24
        rounded = rintf(__uint_as_float(magnitude) * 16777216.0f) * 5.9604644775390625e-8f;
    else
        rounded = __uint_as_float((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) & 0xffffe000u);
    if (sign)
        rounded = -rounded;
    return fminf(fmaxf(rounded, 5.9604644775390625e-8f), 65504.0f);
}

static __device__ void span(float low, float high, float* scale, float* zero)
{
    low = fminf(low, 0.0f);
    high = fmaxf(high, 0.0f);
    if (high == low)
    {
        *scale = 1.0f;
        *zero = 0.0f;
        return;
    }
    *scale = storable((high - low) / 15.0f);
    *zero = fminf(fmaxf(rintf(-low / *scale), 0.0f), 15.0f);
}

static __device__ float range_loss(const float* w, const float* importance, int size, float scale, float zero)
{
    float inverse = 1.0f / scale, low = -zero, high = low + 15.0f, sum = 0.0f;
    for (int i = lane_of(); i < size; i += LANES)
    {
        float miss = w[i] - fminf(fmaxf(rintf(w[i] * inverse), low), high) * scale;
        sum += miss * miss * importance[i];
    }
    return total(sum);
}

// Scale and zero point of each group of each row.
// w [rows, groups * size], importance [groups * size] or null, scales and zeros [rows, groups].
extern "C" __global__ void fit(const float* w, const float* importance, long long rows, int groups, int size, float* scales, float* zeros)
{
    long long at = piece();
    if (at >= rows * groups)
        return;
    w += at * size;
    float low = w[0], high = w[0];
    for (int i = lane_of(); i < size; i += LANES)
    {
        low = fminf(low, w[i]);
        high = fmaxf(high, w[i]);
    }
    for (int other = LANES / 2; other > 0; other /= 2)
    {
        low = fminf(low, __shfl_xor_sync(WARP, low, other));
        high = fmaxf(high, __shfl_xor_sync(WARP, high, other));
    }
    float scale, zero;
    span(low, high, &scale, &zero);
    if (importance && low != high)
    {
        const float nudges[4] = {0.92f, 0.96f, 1.0f, 1.04f};
        importance += at % groups * size;
        float least = range_loss(w, importance, size, scale, zero), s, z, loss;
        for (int step = 1; step <= 9; step++)
        {
            float shrink = 1.0f - 0.04f * step;
            span(low * shrink, high * shrink, &s, &z);
            loss = range_loss(w, importance, size, s, z);
            if (loss < least)
            {
                least = loss;
                scale = s;
                zero = z;
            }
        }
        float centre = scale, around = zero;
        for (int nudge = 0; nudge < 4; nudge++)
            for (int shift = -1; shift <= 1; shift++)
            {
                if (nudge == 2 && shift == 0)
                    continue;
                s = storable(centre * nudges[nudge]);
                z = fminf(fmaxf(around + shift, 0.0f), 15.0f);
                loss = range_loss(w, importance, size, s, z);
                if (loss < least)
                {
                    least = loss;
                    scale = s;
                    zero = z;
                }
            }
    }
    if (lane_of() == 0)
    {
        scales[at] = scale;
        zeros[at] = zero;
    }
}

// Rounds a block of columns from the last to the first, each to a target that makes up for the errors before it. Rows may be those of
// several sets of factors, one set after another.
// targets, w, scale, zero, codes, errors, misses [width, rows]; factors [width, sets] or null; factor: the block's corner of [n, n].
extern "C" __global__ void compensate(const float* targets, const float* w, const float* factors, int sets, const float* scale, const float* zero,
    const float* factor, long long n, int width, long long rows, float* codes, float* errors, float* misses)
{
    long long row = piece();
    if (row >= rows)
        return;
    int lane = lane_of(), set = factors ? (int)(row / (rows / sets)) : 0;
    float target[SLOTS], weight[SLOTS], grid[SLOTS], point[SLOTS], stretch[SLOTS], code[SLOTS], error[SLOTS], miss[SLOTS];
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++)
    {
        int k = slot * LANES + lane;
        long long at = k * rows + row;
        target[slot] = k < width ? targets[at] : 0.0f;
        weight[slot] = k < width ? w[at] : 0.0f;
        grid[slot] = k < width ? scale[at] : 1.0f;
        point[slot] = k < width ? zero[at] : 0.0f;
        stretch[slot] = factors && k < width ? factors[(long long)k * sets + set] : 1.0f;
    }
#pragma unroll
    for (int slot = SLOTS - 1; slot >= 0; slot--)
        for (int turn = LANES - 1; turn >= 0; turn--)
        {
            int k = slot * LANES + turn;
            if (k >= width)
                continue;
            // All lanes compute, and the one whose turn it is keeps the result and hands its error around.
            float own = factors ? target[slot] * stretch[slot] : target[slot];
            float rounded = fminf(fmaxf(rintf(own * (1.0f / grid[slot])) + point[slot], 0.0f), 15.0f);
            float value = (rounded - point[slot]) * grid[slot];
            if (factors)
                value /= stretch[slot];
            float missed = weight[slot] - value;
            if (lane == turn)
            {
                code[slot] = rounded;
                error[slot] = missed;
                miss[slot] = target[slot] - value;
            }
            missed = __shfl_sync(WARP, missed, turn);
            const float* line = factor + k * n;
#pragma unroll
            for (int other = 0; other <= slot; other++)
            {
                int m = other * LANES + lane;
                if (m < k)
                    target[other] += missed * line[m];
            }
        }
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++)
    {
        int k = slot * LANES + lane;
        if (k >= width)
            continue;
        long long at = k * rows + row;
        codes[at] = code[slot];
        errors[at] = error[slot];
        misses[at] = miss[slot];
    }
}

// Improves one group of each row: its scale by least squares, then its codes one by one.
// codes, error [rows, n], gradient [rows, with a stride], own: the group's corner of [n, n]; scale, zero [rows] with a stride;
// change [rows, size]; gains [rows].
extern "C" __global__ void descend(float* codes, const float* gradient, long long gradient_stride, const float* own, long long n, float* scale,
    const float* zero, long long stride, float* error, int size, long long rows, int refit, float* change_of, double* gains)
{
    long long row = piece();
    if (row >= rows)
        return;
    int lane = lane_of();
    codes += row * n;
    error += row * n;
    gradient += row * gradient_stride;
    change_of += row * size;
    float code[SLOTS], slope[SLOTS], wrong[SLOTS], curve[SLOTS], grid = scale[row * stride], point = zero[row * stride], low = -point, high = low + 15.0f;
    double gain = 0.0;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++)
    {
        int i = slot * LANES + lane;
        code[slot] = i < size ? codes[i] - point : 0.0f;
        slope[slot] = i < size ? gradient[i] : 0.0f;
        wrong[slot] = i < size ? error[i] : 0.0f;
        curve[slot] = i < size ? own[i * n + i] : 1.0f;
    }
    if (refit)
    {
        // The codes times the group's own corner.
        float bent[SLOTS], along = 0.0f, bend = 0.0f;
#pragma unroll
        for (int slot = 0; slot < SLOTS; slot++)
            bent[slot] = 0.0f;
#pragma unroll
        for (int slot = 0; slot < SLOTS; slot++)
            for (int turn = 0; turn < LANES && slot * LANES + turn < size; turn++)
            {
                float one = __shfl_sync(WARP, code[slot], turn);
                const float* line = own + (slot * LANES + turn) * n;
#pragma unroll
                for (int other = 0; other < SLOTS; other++)
                    if (other * LANES + lane < size)
                        bent[other] += one * line[other * LANES + lane];
            }
#pragma unroll
        for (int slot = 0; slot < SLOTS; slot++)
        {
            along += code[slot] * slope[slot];
            bend += code[slot] * bent[slot];
        }
        along = total(along);
        bend = total(bend);
        if (bend > 0.0f)
        {
            float refitted = storable(fmaxf(grid - along / bend, grid * 0.5f)), step = refitted - grid;
            float change = step * along * 2.0f + step * step * bend;
            if (change < 0.0f)
            {
                gain -= lane == 0 ? change : 0.0f;
#pragma unroll
                for (int slot = 0; slot < SLOTS; slot++)
                {
                    slope[slot] += bent[slot] * step;
                    wrong[slot] += code[slot] * step;
                }
                grid = refitted;
                if (lane == 0)
                    scale[row * stride] = refitted;
            }
        }
    }
    for (int pass = 0; pass < 3; pass++)
    {
        int moved = 0;
#pragma unroll
        for (int slot = 0; slot < SLOTS; slot++)
            for (int turn = 0; turn < LANES && slot * LANES + turn < size; turn++)
            {
                float wanted = fminf(fmaxf(rintf(code[slot] - slope[slot] / (grid * curve[slot])), low), high);
                float step = (wanted - code[slot]) * grid, change = (slope[slot] * 2.0f + step * curve[slot]) * step;
                int moves = wanted != code[slot] && change < 0.0f;
                if (lane == turn && moves)
                {
                    gain -= change;
                    code[slot] = wanted;
                    wrong[slot] += step;
                }
                step = __shfl_sync(WARP, moves ? step : 0.0f, turn);
                if (step == 0.0f)
                    continue;
                const float* line = own + (slot * LANES + turn) * n;
#pragma unroll
                for (int other = 0; other < SLOTS; other++)
                {
                    int j = other * LANES + lane;
                    if (j < size)
                        slope[other] += step * line[j];
                }
                moved = 1;
            }
        if (!moved)
            break;
    }
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++)
    {
        int i = slot * LANES + lane;
        if (i < size)
        {
            codes[i] = code[slot] + point;
            change_of[i] = wrong[slot] - error[i];
            error[i] = wrong[slot];
        }
    }
    for (int other = LANES / 2; other > 0; other /= 2)
        gain += __shfl_xor_sync(WARP, gain, other);
    if (lane == 0)
        gains[row] += gain;
}
