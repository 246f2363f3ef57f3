import { isUtf8 } from "node:buffer";
import { MAX_DEPTH, MAX_VALUES } from "./limits.js";
import { MARK_EXTENSION } from "./mark.js";
import { malformed } from "./preamble.js";

/** `__proto__` in ASCII. */
const PROTO_KEY = Buffer.from("__proto__", "latin1");

/** Items to come, and whether they are keys and values in turn, at each level; level 0 is the value itself. */
const itemsLeft = new Uint32Array(MAX_DEPTH + 1);
const isMap = new Uint8Array(MAX_DEPTH + 1);

/**
 * Checks that the bytes are exactly one MessagePack value of the dialect that `pack` writes, before msgpackr, which
 * trusts its input, sees them: its record extension, the reserved byte 0xC1, lengths beyond the end, trailing bytes and
 * nesting that would exhaust the stack are refused. Reads each byte once, allocates nothing that grows with the input.
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function checkMetadata(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  itemsLeft[0] = 1;
  isMap[0] = 0;
  let level = 0;
  let position = 0;
  let valueCount = 0;

  const take = (count: number): number => {
    const start = position;
    if (count > bytes.length - start)
      throw malformed(`expected ${count} more bytes at ${start}, got the end`);
    position += count;
    return start;
  };
  const text = (length: number, isKey: boolean): void => {
    const start = take(length);
    const content = bytes.subarray(start, position);
    if (!isUtf8(content)) throw malformed(`expected UTF-8 at ${start}, got other bytes`);
    if (isKey && PROTO_KEY.equals(content))
      throw malformed("expected fields, got one named `__proto__`");
  };
  const open = (itemCount: number, map: boolean): void => {
    // Each item takes at least one byte: what cannot be there is refused before anybody makes room for it.
    if (itemCount > bytes.length - position)
      throw malformed(`expected ${itemCount} items at ${position}, got the end`);
    if (level === MAX_DEPTH) throw malformed(`expected at most ${MAX_DEPTH} levels, got more`);
    level++;
    itemsLeft[level] = itemCount;
    isMap[level] = map ? 1 : 0;
  };
  const extension = (length: number): void => {
    const type = view.getInt8(take(1));
    const start = take(length);
    const isUndefined = type === 0 && length === 1 && bytes[start] === 0;
    if (!isUndefined && type !== MARK_EXTENSION)
      throw malformed(`extension ${type} is not allowed`);
  };

  for (;;) {
    while (itemsLeft[level] === 0) {
      if (level === 0) {
        if (position !== bytes.length) throw malformed(`${bytes.length - position} bytes too many`);
        return;
      }
      level--;
    }
    const isKey = isMap[level] === 1 && itemsLeft[level]! % 2 === 0;
    itemsLeft[level]! -= 1;
    if (++valueCount > MAX_VALUES)
      throw malformed(`expected at most ${MAX_VALUES} values, got more`);

    const tag = bytes[take(1)]!;
    if (tag >= 0xa0 && tag <= 0xbf) text(tag & 0x1f, isKey);
    else if (tag === 0xd9) text(view.getUint8(take(1)), isKey);
    else if (tag === 0xda) text(view.getUint16(take(2)), isKey);
    else if (tag === 0xdb) text(view.getUint32(take(4)), isKey);
    else if (isKey) throw malformed("expected a text as key, got something else");
    else if (tag <= 0x7f || tag >= 0xe0) continue;
    else if (tag <= 0x8f) open(2 * (tag & 0x0f), true);
    else if (tag <= 0x9f) open(tag & 0x0f, false);
    else {
      switch (tag) {
        case 0xc0:
        case 0xc2:
        case 0xc3:
          break;
        case 0xc7:
          extension(view.getUint8(take(1)));
          break;
        case 0xc8:
          extension(view.getUint16(take(2)));
          break;
        case 0xc9:
          extension(view.getUint32(take(4)));
          break;
        case 0xcc:
        case 0xd0:
          take(1);
          break;
        case 0xcd:
        case 0xd1:
          take(2);
          break;
        case 0xce:
        case 0xd2:
          take(4);
          break;
        case 0xcb:
          take(8);
          break;
        case 0xd4:
        case 0xd5:
        case 0xd6:
        case 0xd7:
        case 0xd8:
          extension(1 << (tag - 0xd4));
          break;
        case 0xdc:
          open(view.getUint16(take(2)), false);
          break;
        case 0xdd:
          open(view.getUint32(take(4)), false);
          break;
        case 0xde:
          open(2 * view.getUint16(take(2)), true);
          break;
        case 0xdf:
          open(2 * view.getUint32(take(4)), true);
          break;
        default:
          throw malformed(`byte ${tag} is not allowed at ${position - 1}`);
      }
    }
  }
}
