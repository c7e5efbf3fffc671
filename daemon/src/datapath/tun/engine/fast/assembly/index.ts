/* What the host calls. */
export { fold, sum } from './checksum';
export { configure, enableIpv6, forgetRoutes, setBase, setMerging, setSending } from './host';
export { clearEntries, entryCount, finishEntries, incoming, preparePacket } from './merge';
export { clearPlans, copySegment, messageCount, prepareSingle, selectPlan } from './plan';
export { prepareSlots, readSlots } from './slots';
export { outgoing, outgoingBytes, outgoingPackets } from './split';
